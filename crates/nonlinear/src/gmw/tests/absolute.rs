//! A new operation takes one file, which is this one, and one line in a chain: here |x|, as
//! 2 max(x, 0) - x (docs/swapping.md).

use std::sync::Arc;

use gazelle_convert::{
    Begun, ClientShare, Execution, Extend, Known, Operation, Planes, Relu, Reshare, Rots,
};
use gazelle_garble::HalfGates;
use gazelle_ot::IdealOt;
use gazelle_prg::Prg;
use gazelle_share::Rounding;
use gazelle_share::shares::{ring_mask, to_signed};
use gazelle_share::step::{StepFunction, StepOutput};
use gazelle_share::testing::test_rng;
use gazelle_share::{NonlinearClient, NonlinearServer, Output, Shares, Step, TensorShape};
use gazelle_wire::testing::run_two;
use rand_core::Rng;

use crate::gmw::chain::{Before, Chain, link};
use crate::gmw::plan::GmwStep;
use crate::session::{CompiledStep, CompiledSteps, StepsClient, StepsServer};

/// |x| modulo `2^bits`, x > -2^(bits - 1); the client's share is known offline.
#[derive(Debug)]
struct Absolute {
    relu: Relu,
}

impl Operation for Absolute {
    fn operand_bits(&self) -> u32 {
        self.relu.operand_bits()
    }
    fn result_bits(&self) -> u32 {
        self.relu.result_bits()
    }
    fn client_share(&self) -> ClientShare {
        ClientShare::Offline
    }
    fn openings(&self) -> usize {
        self.relu.openings()
    }
    fn planes(&self, opening: usize) -> (usize, usize) {
        self.relu.planes(opening)
    }
    fn offline_planes(&self) -> (usize, usize) {
        self.relu.offline_planes()
    }
    fn rots(&self) -> (usize, usize) {
        self.relu.rots()
    }
    fn client(&self, rots: &mut Rots<'_>, known: Known<'_>) -> Begun {
        self.wrap(self.relu.client(rots, known))
    }
    fn server(&self, rots: &mut Rots<'_>, coins: &mut Prg) -> Begun {
        self.wrap(self.relu.server(rots, coins))
    }
}

impl Absolute {
    fn wrap(&self, relu: Begun) -> Begun {
        let execution =
            AbsoluteExecution { relu: relu.execution, bits: self.result_bits(), x: Vec::new() };
        Begun::new(execution, relu.corrections)
    }
}

/// Either party: the share of 2 max(x, 0) - x follows from that of max(x, 0).
struct AbsoluteExecution {
    relu: Box<dyn Execution>,
    bits: u32,
    x: Vec<u64>,
}

impl Execution for AbsoluteExecution {
    fn correct(&mut self, corrections: &Planes) {
        self.relu.correct(corrections);
    }
    fn start(&mut self, x: Vec<u64>) {
        self.x.clone_from(&x);
        self.relu.start(x);
    }
    fn half(&mut self, opening: usize) -> Planes {
        self.relu.half(opening)
    }
    fn complete(&mut self, opening: usize, peer: &Planes) {
        self.relu.complete(opening, peer);
    }
    fn result(&mut self) -> Vec<u64> {
        let positive = self.relu.result();
        let double = |(z, x): (u64, &u64)| (z << 1).wrapping_sub(*x) & ring_mask(self.bits);
        positive.into_iter().zip(&self.x).map(double).collect()
    }
}

#[test]
fn conformance_an_absolute_value_is_one_file_and_one_line_in_the_chain() {
    let (bits, to, count) = (7u32, 12, 5000);
    let step = Step {
        // The chain is what computes; the function only names what a ReLU's widths are.
        function: StepFunction::Relu,
        input: TensorShape::vector(count),
        input_bits: bits,
        truncate_bits: 0,
        rounding: Rounding::Local,
        value_bits: bits,
        sum_pool: None,
        output: StepOutput::Masked { bits: to },
    };
    let compile = |step: &Step| {
        let links = vec![
            link(Before::Take, Absolute { relu: Relu::new(bits, ClientShare::Offline) }),
            link(Before::Take, Extend { from: bits, to }),
            link(Before::Sum, Reshare { bits: to }),
        ];
        GmwStep::with_chain(step, Chain { ring: bits, keys: None, links }).unwrap()
    };
    let rng = &mut test_rng(1);
    let client_share = Shares::random(bits, count, rng);
    let server_share = Shares::random(bits, count, rng);
    let mask = Shares::random(to, count, rng);
    let (x_c, r, at_client) = (client_share.clone(), mask.clone(), compile(&step));
    let (x_s, at_server) = (server_share.clone(), compile(&step));
    let (_, share) = run_two(
        move |mut channel| {
            let rng = &mut test_rng(2);
            let compiled = Arc::new(CompiledSteps::unchecked(vec![CompiledStep::Gmw(at_client)]));
            let primitives = (&IdealOt, HalfGates::default());
            let mut client = StepsClient::set_up(primitives, compiled, &mut channel, rng).unwrap();
            let output = Output::Masked(&r);
            let made = client.offline(0, &x_c, output, &mut channel, rng).unwrap();
            client.online(0, made, &mut channel).unwrap()
        },
        move |mut channel| {
            let rng = &mut test_rng(3);
            let _ = rng.next_u64();
            let compiled = Arc::new(CompiledSteps::unchecked(vec![CompiledStep::Gmw(at_server)]));
            let primitives = (&IdealOt, HalfGates::default());
            let mut server = StepsServer::set_up(primitives, compiled, &mut channel, rng).unwrap();
            let made = server.offline(0, &mut channel, rng).unwrap();
            server.online(0, made, x_s, &mut channel).unwrap().unwrap()
        },
    );
    let sum = client_share.add(&server_share);
    let expected = sum.words().iter().map(|x| to_signed(*x, bits).unsigned_abs());
    let lowest = 1 << (bits - 1);
    for (got, expected) in share.add(&mask).words().iter().zip(expected) {
        // -2^(bits - 1) has no absolute value of so many bits.
        assert!(*got == expected || expected == lowest);
    }
}
