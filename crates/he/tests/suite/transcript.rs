//! Exact lengths.

use gazelle_he::public_coin::{
    HintMessage, HintShape, Parameters, RequestMessage, RequestShape, ReshareMessage,
};
use gazelle_wire::Message;

use super::group::{Group, random_terms, rng};

#[test]
fn messages_have_the_lengths_that_the_shapes_say() {
    for (degree, l, k, quarters, d) in [
        (2048, 21, 27, 20, 18),
        (2048, 37, 13, 17, 16),
        (4096, 37, 25, 16, 13),
        (8192, 25, 23, 92, 0),
    ] {
        let parameters = Parameters::new(degree, l, k, k, d).unwrap();
        let parameters = parameters.with_kept_quarters(quarters).unwrap();
        let (rows, _) = random_terms(degree, 3, 2, 6, 8);
        let mut group = Group::new(parameters, 3, rows, false);
        group.pinned[1] = ((0..77).collect(), vec![0; 77]);
        let shape = RequestShape { parameters, requests: 3, pinned: 77 };
        let expected = 16
            + degree * (l + k) as usize / 8
            + 3 * degree * quarters as usize / 32
            + (77 * l as usize).div_ceil(8);
        let mut payload = Vec::new();
        let message = group.request(&mut rng(3)).message;
        message.encode(&mut payload);
        assert_eq!((payload.len(), RequestMessage::encoded_len(&shape)), (expected, expected));

        let hints = HintShape { parameters, responses: 2 };
        payload.clear();
        group.hints.encode(&mut payload);
        let expected = 2 * degree * (l + k - d) as usize / 8;
        assert_eq!((payload.len(), HintMessage::encoded_len(&hints)), (expected, expected));

        payload.clear();
        message.reshare(&group.coins, 0, &mut rng(4)).0.encode(&mut payload);
        assert_eq!((payload.len(), ReshareMessage::encoded_len(&())), (32, 32));
    }
}

/// Hints, and the shares of one request, do not depend on the number of threads (requests: a unit test,
/// as their coins are fresh).
#[test]
fn results_do_not_depend_on_the_schedule() {
    let parameters = Parameters::new(2048, 21, 27, 5, 18).unwrap();
    let (rows, _) = random_terms(2048, 3, 9, 30, 8);
    let group = Group::new(parameters, 3, rows, false);
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| group.source.hints(group.matrix.as_ref(), 0..9).unwrap())
    };
    assert!(run(1) == run(3));
}
