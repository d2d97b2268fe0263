//! Bodies of the fuzz targets: any bytes end in a value or an error.

use crate::channel::Channel;
use crate::error::ChannelError;
use crate::handshake::{self, Hello};
use crate::packed::{self, Bytes, Packed, PackedShape};
use crate::recording::replay;

/// A peer that says `data` to a protocol with a message of each kind, a long one included.
pub fn frames(data: &[u8]) {
    let run = |channel: &mut Channel| -> Result<(), ChannelError> {
        channel.recv::<Bytes>(&3)?;
        channel.recv::<Packed>(&PackedShape { count: 5, bits: 13 })?;
        let out = Bytes(vec![0; 9]);
        channel.exchange::<_, Packed>(&out, &9, &PackedShape { count: 3, bits: 64 })?;
        channel.recv::<Bytes>(&0)?;
        channel.recv::<Bytes>(&(1 << 24))?;
        Ok(())
    };
    for mut channel in [replay(data.to_vec()), Channel::from_payloads(data.to_vec())] {
        // Bytes that speak the protocol throughout would have to be 16 MiB long.
        if run(&mut channel).is_err() {
            channel.send_error();
        }
    }
}

/// A stranger's `data` on both sides of the handshake.
///
/// # Panics
/// If a description beyond the limit is accepted: that would be a defect.
pub fn handshakes(data: &[u8]) {
    if let Ok(offer) =
        handshake::request(&mut replay(data.to_vec()), &Hello::default(), &[1; 32], &mut |_| true)
    {
        assert!(offer.description().len() <= handshake::DESCRIPTION_BYTES);
    }
    let mut channel = replay(data.to_vec());
    if let Ok(hello) = handshake::greet(&mut channel)
        && let Ok(offered) = handshake::offer(&mut channel, &hello, 1, [2; 32], b"description")
    {
        let _ = offered.confirm(&mut channel, b"suite");
    }
}

/// `data` = width, count, packed bytes: what unpacks, packs to the same bytes.
///
/// # Panics
/// If it does not: that would be a defect.
pub fn unpack(data: &[u8]) {
    let Some(([bits, low, high], bytes)) = data.split_first_chunk::<3>() else { return };
    let count = usize::from(u16::from_le_bytes([*low, *high]));
    if let Ok(words) = packed::unpack(bytes, u32::from(*bits), count) {
        let mut again = Vec::new();
        packed::pack(&words, u32::from(*bits), &mut again);
        assert_eq!(again, bytes);
    }
}
