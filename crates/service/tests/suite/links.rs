//! Channels over TLS: what they carry, what they cost, and that they do not stall.

use std::sync::atomic::{AtomicU64, Ordering};

use gazelle_service::{ClientTls, IdentityFiles};
use gazelle_wire::{Bytes, Channel, ChannelError};

use crate::parties::{Site, accept, dial, link, timeouts};

/// Bytes that went over a link, written and read, TLS included.
fn moved(channel: &Channel) -> (u64, u64) {
    channel.pace().unwrap().moved()
}

#[test]
fn both_ends_are_bound_to_their_link_and_to_no_other() {
    let site = Site::new();
    let ((a, b), (c, d)) = (link(&site), link(&site));
    assert_eq!(a.link_binding(), b.link_binding());
    assert_eq!(c.link_binding(), d.link_binding());
    assert_ne!(a.link_binding(), c.link_binding());
    assert_ne!(a.link_binding(), &[0; 32]);
}

#[test]
fn properties_messages_of_every_size_arrive_as_they_were_sent() {
    let site = Site::new();
    let (mut client, mut server) = link(&site);
    let sizes = [0, 1, 5, 16_383, 16_384, 16_385, 65_536, 1 << 20, (3 << 20) + 7];
    let message = |size: usize, salt: usize| {
        Bytes((0..size).map(|i| (i * 31 + i / 251 + salt) as u8).collect())
    };
    let echo = std::thread::spawn(move || {
        for size in sizes {
            let got: Bytes = server.recv(&size).unwrap();
            assert_eq!(got, message(size, 1));
            server.send(&message(size, 2), &size).unwrap();
            server.flush().unwrap();
        }
        server
    });
    for size in sizes {
        client.send(&message(size, 1), &size).unwrap();
        assert_eq!(client.recv::<Bytes>(&size).unwrap(), message(size, 2));
    }
    // What was written to the sockets is what was read from them.
    let (server, client_moved) = (echo.join().unwrap(), moved(&client));
    let server_moved = moved(&server);
    assert_eq!(client_moved, (server_moved.1, server_moved.0));
}

#[test]
fn transcript_tls_adds_22_bytes_to_a_record_and_5_kilobytes_to_a_session() {
    let site = Site::new();
    let (mut client, mut server) = link(&site);
    let (sent, received) = moved(&client);
    let handshake = sent + received;
    // X25519MLKEM768: 1,216 bytes there and 1,120 back; two chains of P-256.
    assert!((3_500..5_500).contains(&handshake), "{handshake}");
    let size = 8 << 20;
    let reader = std::thread::spawn(move || {
        server.recv::<Bytes>(&size).unwrap();
        server
    });
    client.send(&Bytes(vec![7; size]), &size).unwrap();
    client.flush().unwrap();
    let server = reader.join().unwrap();
    let plain = client.traffic().sent;
    let wire = moved(&client).0 - sent;
    // Full records of 16 KiB, and one for the rest of each piece that is written.
    let share = wire as f64 / plain as f64 - 1.0;
    assert!((0.0013..0.0017).contains(&share), "{share}");
    drop(server);
}

#[test]
fn halves_that_are_busy_in_both_directions_do_not_wait_for_each_other() {
    let site = Site::new();
    let (mut client, mut server) = link(&site);
    let (count, size) = (200, 300_000);
    let work = move |channel: &mut Channel| {
        let (send, recv) = channel.halves();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                for index in 0..count {
                    send.send(&Bytes(vec![index as u8; size]), &size).unwrap();
                }
                send.flush().unwrap();
            });
            for index in 0..count {
                let got: Bytes = recv.recv(&size).unwrap();
                assert!(got.0.iter().all(|byte| *byte == index as u8));
            }
        });
    };
    // 60 MB each way at once, far beyond what sockets hold.
    std::thread::scope(|scope| {
        scope.spawn(|| work(&mut server));
        work(&mut client);
    });
    assert_eq!(client.traffic().sent, server.traffic().received);
}

#[test]
fn a_writer_that_waits_does_not_stop_the_reader() {
    let site = Site::new();
    let (mut client, mut server) = link(&site);
    let size = 32 << 20;
    let read = AtomicU64::new(0);
    std::thread::scope(|scope| {
        let (send, recv) = client.halves();
        // The server does not read: this write fills the sockets and waits.
        scope.spawn(move || {
            send.send(&Bytes(vec![1; size]), &size).unwrap();
            send.flush().unwrap();
        });
        scope.spawn(|| {
            for _ in 0..64 {
                recv.recv::<Bytes>(&100_000).unwrap();
                read.fetch_add(1, Ordering::SeqCst);
            }
        });
        for _ in 0..64 {
            server.send(&Bytes(vec![2; 100_000]), &100_000).unwrap();
            server.flush().unwrap();
        }
        while read.load(Ordering::SeqCst) < 64 {
            std::thread::yield_now();
        }
        // Only now the other direction drains.
        server.recv::<Bytes>(&size).unwrap();
    });
}

#[test]
fn adversarial_bytes_changed_on_the_way_end_the_session() {
    use std::io::{Read, Write};
    let site = Site::new();
    let (port, server) = accept(site.server());
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let middle = listener.local_addr().unwrap().port();
    // A machine in the middle that passes everything on, and flips a bit after 6,000 bytes.
    let relay = std::thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        let mut server = dial(port);
        let (mut back, mut there) = (server.try_clone().unwrap(), client.try_clone().unwrap());
        let answers = std::thread::spawn(move || std::io::copy(&mut back, &mut there));
        let (mut buffer, mut passed) = ([0u8; 1024], 0);
        while let Ok(read @ 1..) = client.read(&mut buffer) {
            if (6_000..7_000).contains(&passed) {
                buffer[read / 2] ^= 0x10;
            }
            passed += read;
            if server.write_all(&buffer[..read]).is_err() {
                break;
            }
        }
        let _ = server.shutdown(std::net::Shutdown::Both);
        let _ = answers.join();
    });
    let mut client = site.client().secure(dial(middle), "localhost", &timeouts()).unwrap();
    let mut server = server.join().unwrap().unwrap().0;
    client.send(&Bytes(vec![0; 50_000]), &50_000).unwrap();
    client.flush().unwrap();
    let error = server.recv::<Bytes>(&50_000).unwrap_err();
    assert!(matches!(error, ChannelError::Io(_)), "{error}");
    drop((client, server));
    relay.join().unwrap();
}

#[test]
fn adversarial_a_link_that_is_cut_is_closed_and_nothing_is_taken_for_an_end() {
    let site = Site::new();
    let (mut client, server) = link(&site);
    drop(server);
    assert!(matches!(client.recv::<Bytes>(&1), Err(ChannelError::Closed)));
}

#[test]
fn an_identity_in_three_files_is_as_good_as_in_one() {
    let site = Site::new();
    let text = std::fs::read_to_string(site.hospital.client()).unwrap();
    let (key, chain) = text.split_at(text.find("-----BEGIN CERTIFICATE").unwrap());
    let (own, anchor) = chain.split_at(chain.rfind("-----BEGIN CERTIFICATE").unwrap());
    let folder = site.hospital.folder();
    let names = ["key.pem", "chain.pem", "ca.pem"].map(|name| folder.join(name));
    for (name, part) in names.iter().zip([key, own, anchor]) {
        std::fs::write(name, part).unwrap();
    }
    let [key, chain, anchor] = names;
    let files = IdentityFiles::Apart { key: key.clone(), chain: chain.clone(), anchor };
    // Whose key others can read is told, as in one file.
    assert!(files.read().unwrap_err().to_string().contains("chmod 600"));
    std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let client = ClientTls::new(&files.read().unwrap()).unwrap();
    let (port, server) = accept(site.server());
    client.secure(dial(port), "localhost", &timeouts()).unwrap();
    assert_eq!(server.join().unwrap().unwrap().1.name(), "alice");
    let swapped = IdentityFiles::Apart { key: key.clone(), chain: key.clone(), anchor: chain };
    assert!(swapped.read().unwrap_err().to_string().contains("no certificate"));
}
