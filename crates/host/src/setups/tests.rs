//! Setups that sessions run with, and the server's halves of material.

use std::fs;
use std::path::PathBuf;

use gazelle_service::StoreKey;

use super::*;

/// A folder of a test's own; gone on drop.
struct SetupsFolder(PathBuf);

impl SetupsFolder {
    fn new(name: &str) -> Self {
        let name = format!("gazelle-setups-{name}-{}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }

    fn setups(&self, all: u64) -> Setups {
        self.setups_of(MaterialBytes { all, each: all })
    }

    fn setups_of(&self, most: MaterialBytes) -> Setups {
        let store = Store::open(&self.0, StoreKey::new([7; 32]), true).unwrap();
        Setups::open(Some(store), most).unwrap()
    }
}

impl Drop for SetupsFolder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn of<'a>(setups: &'a Setups, owner: &str) -> ServedSetups<'a> {
    ServedSetups { setups, owner: owner.into(), held: Mutex::default() }
}

fn id(number: usize) -> [u8; 32] {
    let mut id = [1; 32];
    id[..8].copy_from_slice(&number.to_le_bytes());
    id
}

const BOUND: [u8; 32] = [2; 32];

#[test]
fn a_setup_that_a_session_runs_with_is_not_evicted() {
    let folder = SetupsFolder::new("live");
    let setups = folder.setups(1 << 20);
    let setup = KeptSetup { digest: [5; 32], secret: zeroize::Zeroizing::new(vec![9; 32]) };
    {
        let first = of(&setups, "alice");
        assert!(first.keep(&BOUND, &id(0), &setup));
    }
    // A session goes on with it, while as many others are made as there may be, and more.
    let running = of(&setups, "alice");
    assert_eq!(running.count(&BOUND, &id(0), 64), Some(64));
    for number in 1..2 * EACH {
        assert!(of(&setups, "alice").keep(&BOUND, &id(number), &setup));
    }
    assert_eq!(running.count(&BOUND, &id(0), 64), Some(128));
    drop(running);
    // Afterwards it is the oldest.
    setups.known().get_mut(&("alice".into(), BOUND, id(0))).unwrap().made -= 1;
    assert!(of(&setups, "alice").keep(&BOUND, &id(2 * EACH), &setup));
    assert_eq!(of(&setups, "alice").count(&BOUND, &id(0), 64), None);
    // Where sessions run with all of them, a new one is not kept.
    let all: Vec<_> = (0..EACH).map(|_| of(&setups, "bob")).collect();
    for (number, session) in all.iter().enumerate() {
        assert!(session.keep(&BOUND, &id(number), &setup));
    }
    assert!(!of(&setups, "bob").keep(&BOUND, &id(EACH), &setup));
    assert!(of(&setups, "carol").keep(&BOUND, &id(EACH), &setup));
}

fn store(client: &ServedSetups<'_>, entry: usize, holder: usize) -> bool {
    let mut write = |out: &mut dyn io::Write| out.write_all(&[entry as u8; 1000]);
    client.keep_entry(&BOUND, &id(entry), &id(holder), &mut write)
}

#[test]
fn machines_with_one_certificate_do_not_drop_each_others_entries() {
    let folder = SetupsFolder::new("holders");
    let replica = {
        let setups = folder.setups(1 << 20);
        let alice = of(&setups, "alice");
        for (entry, holder) in [(1, 100), (2, 100), (3, 200)] {
            assert!(alice.has_room() && store(&alice, entry, holder));
        }
        // No second entry takes a name that is there.
        assert!(!store(&alice, 1, 100));
        assert_eq!(
            alice.compare_entries(&BOUND, &id(100), &[id(2), id(3), id(9)]),
            [true, true, false]
        );
        assert!(alice.take_entry(&BOUND, &id(1)).is_none(), "dropped: its holder has it no more");
        assert!(of(&setups, "bob").take_entry(&BOUND, &id(3)).is_none());
        assert!(alice.setups.material.as_ref().unwrap().has_of("alice"));
        assert_eq!(setups.stored().0, 2);
        alice.replica()
    };
    // The index is that of the folder.
    let setups = folder.setups(1 << 20);
    let alice = of(&setups, "alice");
    assert_eq!(alice.replica(), replica);
    assert_eq!(setups.stored().0, 2);
    let mut content = Vec::new();
    alice.take_entry(&BOUND, &id(3)).unwrap().read_to_end(&mut content).unwrap();
    assert_eq!(content, [3; 1000]);
    assert!(alice.take_entry(&BOUND, &id(3)).is_none());
    // Clients without certificates are not told apart, and drop nothing.
    let anybody = of(&setups, "");
    assert!(store(&anybody, 7, 300));
    assert_eq!(anybody.compare_entries(&BOUND, &id(300), &[]), [false; 0]);
    assert!(anybody.take_entry(&BOUND, &id(7)).is_some());
}

#[test]
fn room_is_known_before_anything_is_made() {
    let folder = SetupsFolder::new("room");
    let setups = folder.setups(2500);
    let alice = of(&setups, "alice");
    for entry in 0..2 {
        assert!(alice.has_room());
        assert!(store(&alice, entry, 1));
    }
    assert!(!alice.has_room() && !of(&setups, "bob").has_room());
    assert!(alice.take_entry(&BOUND, &id(0)).is_some());
    assert!(of(&setups, "bob").has_room());
    // Without a store there is none.
    let none = Setups::open(None, MaterialBytes { all: 1 << 20, each: 1 << 20 }).unwrap();
    assert!(!of(&none, "alice").has_room());
    assert_eq!(of(&none, "alice").replica(), [0; 32]);
}

#[test]
fn one_client_does_not_fill_the_store() {
    let folder = SetupsFolder::new("each");
    let setups = folder.setups_of(MaterialBytes { all: 1 << 20, each: 1500 });
    let (alice, bob, anybody) = (of(&setups, "alice"), of(&setups, "bob"), of(&setups, ""));
    for entry in 0..2 {
        assert!(alice.has_room());
        assert!(store(&alice, entry, 1));
    }
    assert!(!alice.has_room() && bob.has_room());
    // Who shows no certificate is not told apart.
    for entry in 2..5 {
        assert!(anybody.has_room() && store(&anybody, entry, 1));
    }
    assert!(alice.take_entry(&BOUND, &id(0)).is_some());
    assert!(alice.has_room());
}

#[test]
fn sessions_that_count_at_once_count_each_inference_once_on_disk_too() {
    let folder = SetupsFolder::new("count");
    let setup = KeptSetup { digest: [5; 32], secret: zeroize::Zeroizing::new(vec![9; 32]) };
    let name = SetupName { id: id(0), digest: [5; 32] };
    {
        let setups = folder.setups(1 << 20);
        assert!(of(&setups, "alice").keep(&BOUND, &id(0), &setup));
        let count = || of(&setups, "alice").count(&BOUND, &id(0), 64).unwrap();
        let mut counts: Vec<u64> = std::thread::scope(|scope| {
            let all: Vec<_> = (0..8).map(|_| scope.spawn(count)).collect();
            all.into_iter().map(|one| one.join().unwrap()).collect()
        });
        counts.sort_unstable();
        assert_eq!(counts, (1..=8).map(|number| 64 * number).collect::<Vec<u64>>());
    }
    let setups = folder.setups(1 << 20);
    assert_eq!(of(&setups, "alice").find(&BOUND, &name).unwrap().1, 512);
}
