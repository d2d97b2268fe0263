//! Schedules change no traffic, and coins are never the same twice.

use std::time::Duration;

use gazelle_linear::PublicCoin;
use gazelle_share::testing::test_rng;
use gazelle_wire::recording;
use gazelle_wire::testing::run_two_over;

use crate::networks::{conv, group, weights};
use crate::session::Setting;

#[test]
fn the_clients_traffic_does_not_depend_on_the_number_of_threads_and_its_coins_are_fresh() {
    let groups = vec![group(24, 10, vec![conv(6, 20, 9, 3, 1, 1)])];
    let weights = vec![vec![weights(&groups[0].ops[0], 10, &mut test_rng(4))]];
    let setting = Setting::new(PublicCoin::default(), groups, weights);
    let sent = [1, 4].map(|threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let (client_end, server_end, recorded) = recording::pair(Duration::from_secs(20));
        let (client, server) = (setting.clone(), setting.clone());
        let (r, _) = run_two_over(
            (client_end, server_end),
            move |mut channel| pool.install(|| client.client(2, &mut channel, 5).unwrap()),
            move |mut channel| server.server(2, &mut channel, 6).unwrap(),
        );
        (recorded.sent(), r[0][0].0.clone(), r[1][0].0.clone())
    });
    let [one, four] = &sent;
    assert!(one.0.len() > 4096);
    let length = |frames: &[u8]| frames.len();
    assert_eq!(length(&one.0), length(&four.0));
    // Both parties' generators were in the same state.
    assert!(one.0 != four.0 && one.1 != four.1);
    assert!(one.1 != one.2, "two inferences have two masks");
}
