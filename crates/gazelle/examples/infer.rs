//! A private inference from a program of one's own, over TCP: a server thread and a client.
//!
//! `cargo run --example infer -p gazelle [model.onnx]`

use std::error::Error;
use std::net::SocketAddr;
use std::thread;

use gazelle::backend::{Choice, DefaultService, StepProtocol};
use gazelle::wire::tcp::{self, Exposure, Timeouts};
use gazelle::{Description, Limits, ModelInfo, Offer, ServerLimits, system_rng};
use gazelle_model::{Options, fixed, import, quantise};

const MODEL: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/mnist_a_secureml/model.onnx");

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).unwrap_or_else(|| MODEL.to_owned());
    let server = compile(&std::fs::read(path)?)?;
    let listener = tcp::listen("127.0.0.1:0", Exposure::Loopback)?;
    let address = listener.local_addr()?;
    let serving = thread::spawn(move || -> Result<(), String> {
        let serve = || -> Result<(), Box<dyn Error>> {
            let (stream, _) = listener.accept()?;
            let channel = tcp::channel(stream, &Timeouts::default())?;
            server.serve(channel, &ServerLimits::default(), &mut system_rng()?)?;
            Ok(())
        };
        serve().map_err(|error| error.to_string())
    });
    infer(address)?;
    Ok(serving.join().map_err(|_| "the server panicked")??)
}

/// The model's owner: from an ONNX file to a compiled model, which many sessions may share.
fn compile(onnx: &[u8]) -> Result<DefaultService, Box<dyn Error>> {
    let network = quantise(&import(onnx)?, &Options::default())?.network;
    let choice = Choice::uniform(network.architecture(), StepProtocol::Garbled)?;
    let suite = choice.suite(network.architecture().nodes().len());
    let model = ModelInfo { name: "digits".into(), ..ModelInfo::default() };
    Ok(DefaultService::compile(suite, network, model, choice.to_value())?)
}

/// The input's owner: knows an address, and learns the rest from the server's description.
fn infer(address: SocketAddr) -> Result<(), Box<dyn Error>> {
    let mut rng = system_rng()?;
    let channel = tcp::connect(address, &Timeouts::default())?;
    let offer = Offer::receive(channel, Limits::default(), None, &mut rng)?;
    let description: Description = offer.description().clone();
    let suite = Choice::parse(&description)?.suite(description.nonlinear.len());
    let mut client = offer.accept(suite, &mut rng)?;
    // Before the input is known:
    let prepared = client.prepare(&mut rng)?;
    let pixels = vec![0.5; description.architecture.input().shape.len()];
    let input = fixed::encode(&description.architecture, &pixels)?;
    let inference = client.infer(prepared, &input)?;
    client.close()?;
    println!("{}: {:?}", description.model.name, inference.logits());
    for layer in &inference.report.layers {
        let online = layer.online.bytes();
        println!("{:24} {:12} {online:9} bytes online", layer.name, layer.protocol);
    }
    Ok(())
}
