//! A folder of sealed files: what is kept, taken, told and erased.

use std::time::Duration;

use super::*;
use crate::sealed::BEGINNING;

struct StoreFolder(PathBuf);

impl StoreFolder {
    fn new(name: &str) -> Self {
        let name = format!("gazelle-store-{name}-{}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }

    fn store(&self) -> Store {
        Store::open(&self.0, StoreKey::new([7; 32]), false).unwrap()
    }

    fn only(&self, kind: &str) -> PathBuf {
        let mut files = fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().path());
        let of_kind =
            |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().starts_with(kind);
        files.find(of_kind).unwrap()
    }
}

impl Drop for StoreFolder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

const DAY: Duration = Duration::from_hours(24);

fn put(store: &Store, header: &SealedHeader, body: &[u8]) {
    store.put(header, true, &mut |out| out.write_all(body)).unwrap();
}

fn body(found: Option<(SealedHeader, SealedContent)>) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    found?.1.read_to_end(&mut bytes).unwrap();
    Some(bytes)
}

#[test]
fn what_is_spent_is_found_by_nobody_again() {
    let folder = StoreFolder::new("spend");
    let store = folder.store();
    let header = SealedHeader::new("material", "alice", [1; 32], [2; 32], DAY);
    put(&store, &header, b"secret");
    let other = folder.store();
    assert_eq!(
        body(other.find("material", "alice", &[1; 32], &[2; 32]).unwrap()).unwrap(),
        b"secret"
    );
    let spent = store.spend("material", "alice", &[1; 32], &[2; 32]).unwrap();
    assert!(other.spend("material", "alice", &[1; 32], &[2; 32]).unwrap().is_none());
    assert!(other.list("material").unwrap().is_empty());
    assert_eq!(body(spent).unwrap(), b"secret");
    assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 0);
}

#[test]
fn what_is_there_is_not_replaced_by_what_is_created() {
    let folder = StoreFolder::new("create");
    let store = folder.store();
    let header = SealedHeader::new("material", "alice", [1; 32], [2; 32], DAY);
    store.create(&header, &mut |out| out.write_all(b"first")).unwrap();
    let again = store.create(&header, &mut |out| out.write_all(b"second")).unwrap_err();
    assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
    let found = store.find("material", "alice", &[1; 32], &[2; 32]).unwrap();
    assert_eq!(body(found).unwrap(), b"first");
    assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 1);
}

#[test]
fn files_are_bound_to_owner_purpose_and_id_and_are_not_found_by_others() {
    let folder = StoreFolder::new("bound");
    let store = folder.store();
    let header = SealedHeader::new("setup", "alice", [1; 32], [2; 32], DAY);
    put(&store, &header, b"secret");
    for (owner, bound, id) in [("bob", 1, 2), ("alice", 9, 2), ("alice", 1, 9)] {
        assert!(store.find("setup", owner, &[bound; 32], &[id; 32]).unwrap().is_none());
    }
    // Under another's name it is refused.
    let other = SealedHeader { owner: "bob".into(), ..header.clone() };
    fs::rename(folder.only("setup"), folder.0.join(store.file_of(&other))).unwrap();
    let error = store.find("setup", "bob", &[1; 32], &[2; 32]).err().unwrap();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    assert!(store.list("setup").unwrap()[0].header.is_err());
}

#[test]
fn adversarial_changed_foreign_stale_and_half_written_files_are_told_and_never_used() {
    let folder = StoreFolder::new("adversarial");
    let store = folder.store();
    let header = SealedHeader::new("material", "alice", [1; 32], [2; 32], DAY);
    put(&store, &header, &vec![5; 100_000]);
    let path = folder.only("material");
    let mut bytes = fs::read(&path).unwrap();
    bytes[90_000] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let mut content = Vec::new();
    let found = store.find("material", "alice", &[1; 32], &[2; 32]).unwrap().unwrap();
    let error = { found }.1.read_to_end(&mut content).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    let foreign = Store::open(&folder.0, StoreKey::new([8; 32]), false).unwrap();
    assert!(foreign.list("material").unwrap()[0].header.is_err());
    // Stale ones are removed.
    let stale = SealedHeader { until: 1, ..header };
    put(&store, &stale, b"old");
    assert!(store.find("material", "alice", &[1; 32], &[2; 32]).unwrap().is_none());
    assert!(store.list("material").unwrap().is_empty());
    // A write that fails leaves nothing.
    let full = store.put(&stale, true, &mut |out| {
        out.write_all(&vec![1; 200_000])?;
        Err(io::Error::from(io::ErrorKind::StorageFull))
    });
    assert_eq!(full.unwrap_err().kind(), io::ErrorKind::StorageFull);
    assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 0);
    // What a killed process left is swept by whoever has the store alone.
    fs::write(folder.0.join("partial-1"), b"half").unwrap();
    fs::write(folder.0.join("spent-1"), b"used").unwrap();
    let alone = Store::open(&folder.0, StoreKey::new([7; 32]), true).unwrap();
    assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 1, "the lock");
    assert!(Store::open(&folder.0, StoreKey::new([7; 32]), true).is_err());
    drop(alone);
}

#[test]
fn what_a_living_process_writes_or_uses_is_not_swept_whatever_its_age() {
    let folder = StoreFolder::new("swept");
    let store = folder.store();
    let header = SealedHeader::new("material", "alice", [1; 32], [2; 32], DAY);
    // Made a day ago: its age says nothing about when it was taken.
    put(&store, &header, &vec![5; 1_000_000]);
    let day = std::time::SystemTime::now() - DAY;
    let aside = folder.only("material");
    let blocks = folder.0.join("spent-1");
    fs::hard_link(&aside, &blocks).unwrap();
    let mut used = store.spend("material", "alice", &[1; 32], &[2; 32]).unwrap().unwrap().1;
    File::open(&blocks).unwrap().set_modified(day).unwrap();
    let half = folder.0.join("partial-1");
    let writes = private(&half, true).unwrap();
    writes.lock().unwrap();
    writes.set_modified(day).unwrap();
    drop(folder.store());
    assert!(blocks.exists() && half.exists());
    let mut content = Vec::new();
    used.read_to_end(&mut content).unwrap();
    assert_eq!(content, vec![5; 1_000_000]);
    // Nor what has not been locked yet.
    drop((used, writes));
    fs::write(folder.0.join("partial-2"), b"new").unwrap();
    drop(folder.store());
    assert!(!blocks.exists() && !half.exists() && folder.0.join("partial-2").exists());
}

#[test]
fn of_all_who_spend_a_file_one_gets_it() {
    let folder = StoreFolder::new("one");
    let store = folder.store();
    for id in 0..8 {
        let header = SealedHeader::new("material", "alice", [1; 32], [id; 32], DAY);
        put(&store, &header, b"secret");
        let spend = || folder.store().spend("material", "alice", &[1; 32], &[id; 32]).unwrap();
        let got: usize = std::thread::scope(|scope| {
            let all: Vec<_> = (0..8).map(|_| scope.spawn(|| spend().is_some())).collect();
            all.into_iter().map(|one| usize::from(one.join().unwrap())).sum()
        });
        assert_eq!(got, 1);
    }
    assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 0);
}

#[test]
fn only_a_process_that_prepares_alone_may_compare() {
    let folder = StoreFolder::new("turn");
    let store = folder.store();
    let mut first = store.turn().unwrap();
    assert!(first.is_alone() && !store.turn().unwrap().is_alone());
    first.share().unwrap();
    let mut second = store.turn().unwrap();
    assert!(!second.is_alone());
    second.share().unwrap();
    drop(first);
    assert!(!store.turn().unwrap().is_alone());
    drop(second);
    assert!(store.turn().unwrap().is_alone());
}

#[test]
fn what_was_spent_cannot_be_opened_from_its_blocks() {
    let folder = StoreFolder::new("erased");
    let store = folder.store();
    let header = SealedHeader::new("material", "alice", [1; 32], [2; 32], DAY);
    put(&store, &header, &vec![5; 100_000]);
    // Another name of the same blocks: what a disk that writes in place has afterwards.
    let (path, blocks) = (folder.only("material"), folder.0.join("blocks"));
    fs::hard_link(&path, &blocks).unwrap();
    let before = fs::read(&blocks).unwrap();
    let mut content = Vec::new();
    let spent = store.spend("material", "alice", &[1; 32], &[2; 32]).unwrap().unwrap();
    { spent }.1.read_to_end(&mut content).unwrap();
    assert_eq!(content, vec![5; 100_000]);
    let after = fs::read(&blocks).unwrap();
    assert!(after[..BEGINNING].iter().all(|byte| *byte == 0));
    assert_eq!(after[BEGINNING..], before[BEGINNING..]);
    fs::rename(&blocks, &path).unwrap();
    assert!(store.find("material", "alice", &[1; 32], &[2; 32]).is_err());
}

#[test]
fn a_folder_has_one_name_whoever_makes_it_first() {
    let folder = StoreFolder::new("name");
    let names: Vec<_> = std::thread::scope(|scope| {
        let asks: Vec<_> = (0..8).map(|_| scope.spawn(|| folder.store().name().unwrap())).collect();
        asks.into_iter().map(|ask| ask.join().unwrap()).collect()
    });
    assert!(names.iter().all(|name| name == &names[0]));
    let file = folder.0.join("key");
    let make = || StoreKey::in_file(&file).unwrap();
    let keys: Vec<_> = std::thread::scope(|scope| {
        let asks: Vec<_> = (0..8).map(|_| scope.spawn(make)).collect();
        asks.into_iter().map(|ask| ask.join().unwrap()).collect()
    });
    assert!(keys.iter().all(|key| key.name(&[b"x"]) == keys[0].name(&[b"x"])));
}
