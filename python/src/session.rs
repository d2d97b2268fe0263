//! A client's session with a server, over the network or within this process.

use std::collections::VecDeque;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use gazelle::backend::{Choice, DefaultClient, DefaultPrepared, DefaultService};
use gazelle::wire::tcp::Timeouts;
use gazelle::wire::{Channel, memory};
use gazelle::{
    Answer, Asking, GazelleError, InferenceReport, Limits, Offer, Phase, ServerLimits, ServerReport,
};
use gazelle_input::{Encoder, Input, Notice};
use gazelle_service::{ClientTls, Dialling};
use serde::Serialize;

use crate::failures::{Failure, entropy};

/// How to reach a server, and what is asked of it.
pub(crate) struct Call {
    pub(crate) address: String,
    pub(crate) tls: Option<ClientTls>,
    pub(crate) server_name: Option<String>,
    /// No TLS, to any address: something else protects the link.
    pub(crate) insecure: bool,
    pub(crate) timeout: Duration,
    /// How long to stand in line.
    pub(crate) wait: Duration,
    pub(crate) model: String,
    pub(crate) pinned: Option<[u8; 32]>,
    pub(crate) clamp: bool,
}

/// A session with what its inputs are encoded by.
pub(crate) struct Session {
    client: DefaultClient,
    encoder: Encoder,
    /// Material whose input is not known yet.
    ready: VecDeque<DefaultPrepared>,
    digest: [u8; 32],
    /// The setup's cost, until it was told.
    setup: Option<Phase>,
    /// Of a session within this process.
    server: Option<JoinHandle<Result<ServerReport, GazelleError>>>,
}

/// One input's answer; a part of what `gazelle infer --json` prints.
#[derive(Debug, Serialize)]
struct Answered<'a> {
    input: &'a str,
    #[serde(flatten)]
    answer: Answer,
    unlike_calibration: bool,
    notices: Vec<&'static str>,
    setup: Option<Phase>,
    #[serde(flatten)]
    report: &'a InferenceReport,
}

/// What is known of the server.
#[derive(Debug, Serialize)]
struct Known<'a> {
    model: &'a str,
    digest: String,
    labels: &'a [String],
    /// Of a ready tensor, batch axis first.
    shape: Vec<usize>,
    allowance: Option<u64>,
}

impl Session {
    /// Connects, stands in line, and sets both protocols up.
    ///
    /// # Errors
    /// The caller's before anything is sent over an open link; else the link's, the server's refusal, or that
    /// its offer is not acceptable.
    pub(crate) fn connect(call: &Call) -> Result<Self, Failure> {
        let timeouts = Timeouts { progress: call.timeout, ..Timeouts::default() };
        let dialling = Dialling {
            server: &call.address,
            server_name: call.server_name.as_deref(),
            proxy: None,
            timeouts,
        };
        if call.tls.is_none() && !call.insecure && !dialling.is_local() {
            return Err(Failure::Caller(format!(
                "the link to {} would be open to everybody on the way: give tls=gazelle.Tls(ca, cert, key), \
                 or insecure=True if something else protects it",
                call.address
            )));
        }
        let channel = gazelle_service::connect(&dialling, call.tls.as_ref())?;
        let until = Instant::now() + call.wait;
        Self::begin(channel, call, &mut |_| Instant::now() < until, None)
    }

    /// Both parties in this process.
    ///
    /// # Errors
    /// The protocols'.
    pub(crate) fn within(service: Arc<DefaultService>, clamp: bool) -> Result<Self, Failure> {
        let (ours, theirs) = memory::pair();
        let server = std::thread::Builder::new().name("server".into()).spawn(move || {
            let mut rng = gazelle::system_rng()?;
            service.serve(theirs, &ServerLimits::default(), &mut rng)
        })?;
        let call = Call {
            address: String::new(),
            tls: None,
            server_name: None,
            insecure: true,
            timeout: Duration::ZERO,
            wait: Duration::ZERO,
            model: String::new(),
            pinned: None,
            clamp,
        };
        Self::begin(ours, &call, &mut |_| false, Some(server))
    }

    fn begin(
        channel: Channel,
        call: &Call,
        line: &mut dyn FnMut(u32) -> bool,
        server: Option<JoinHandle<Result<ServerReport, GazelleError>>>,
    ) -> Result<Self, Failure> {
        let mut rng = gazelle::system_rng().map_err(entropy)?;
        let (pinned, model) = (call.pinned, call.model.as_str());
        let asking = Asking { limits: Limits::default(), pinned, model };
        let offer = Offer::ask(channel, &asking, line, &mut rng)?;
        let digest = offer.digest();
        let description = offer.description();
        let encoder =
            Encoder::new(&description.architecture, description.model.interface.as_ref())?;
        let suite = Choice::parse(description)?.suite(description.nonlinear.len());
        let client = offer.accept(suite, &mut rng)?;
        let setup = Some(client.setup());
        let encoder = encoder.clamping(call.clamp);
        Ok(Self { client, encoder, ready: VecDeque::new(), digest, setup, server })
    }

    /// What is known of the server, as JSON.
    ///
    /// # Errors
    /// None but defects of this program.
    pub(crate) fn known(&self) -> Result<String, Failure> {
        let description = self.client.description();
        let model = &description.model;
        let input = description.architecture.input().shape;
        let shape = model.interface.as_ref().map(|interface| interface.shape.clone());
        let allowance = self.client.allowance();
        let digits = self.digest.iter().map(|byte| format!("{byte:02x}"));
        Ok(serde_json::to_string(&Known {
            model: &model.name,
            digest: digits.collect(),
            labels: labels(&self.client),
            shape: shape.unwrap_or_else(|| vec![1, input.channels, input.height, input.width]),
            allowance: (allowance != u64::MAX).then_some(allowance),
        })?)
    }

    /// How many inferences are made ahead.
    pub(crate) fn ready(&self) -> usize {
        self.ready.len()
    }

    /// Makes the material of one more inference.
    ///
    /// # Errors
    /// The caller's if more wait than a server keeps; the session's.
    pub(crate) fn prepare(&mut self) -> Result<(), Failure> {
        let most = ServerLimits::default().prepared;
        if self.ready.len() >= most {
            return Err(Failure::Caller(format!("{most} inferences are made ahead at most")));
        }
        let mut rng = gazelle::system_rng().map_err(entropy)?;
        self.ready.push_back(self.client.prepare(&mut rng)?);
        Ok(())
    }

    /// The answer to one input, as JSON, with `top` of the best classes.
    ///
    /// # Errors
    /// The input's (no material is used up), or the session's.
    pub(crate) fn infer(&mut self, input: &Input, top: usize) -> Result<String, Failure> {
        let (values, notices) = self.encoder.encode(input)?;
        let inference = if let Some(prepared) = self.ready.pop_front() {
            self.client.infer(prepared, &values)?
        } else {
            let mut rng = gazelle::system_rng().map_err(entropy)?;
            self.client.infer_at_once(&values, &mut rng)?
        };
        let model = &self.client.description().model;
        let answered = Answered {
            input: &input.name,
            answer: Answer::new(&inference, model, labels(&self.client), top),
            unlike_calibration: notices.contains(&Notice::Unlike),
            notices: notices.into_iter().map(Notice::kind).collect(),
            setup: self.setup.take(),
            report: &inference.report,
        };
        Ok(serde_json::to_string(&answered)?)
    }

    /// Tells the server that there is nothing more to come.
    ///
    /// # Errors
    /// The link's; of a session within this process the server's.
    pub(crate) fn close(self) -> Result<(), Failure> {
        // A session that ended with an error has nobody to tell.
        let closed = match self.client.close() {
            Err(GazelleError::Dead) => Ok(()),
            closed => closed,
        };
        match self.server.map(JoinHandle::join) {
            Some(Ok(Err(error))) => Err(error.into()),
            Some(Err(_)) => Err(Failure::Defect("the server's thread panicked".into())),
            Some(Ok(Ok(_))) | None => Ok(closed?),
        }
    }
}

fn labels(client: &DefaultClient) -> &[String] {
    let interface = client.description().model.interface.as_ref();
    interface.map_or(&[], |interface| &interface.output.labels)
}
