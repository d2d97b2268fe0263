//! What the engine's worker calls, in WebAssembly: blocking functions over a link that is JavaScript's.

use std::cell::RefCell;
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::time::Duration;

use gazelle::GazelleError;
use gazelle::wire::{Channel, Instant};
use gazelle_block::Block;
use gazelle_block::hash::HashSeed;
use gazelle_input::Image;
use gazelle_prg::Seed;
use wasm_bindgen::prelude::*;

use crate::error::WebError;
use crate::predict::{PredictionWatcher, WantedPrediction, WebEvent, predict};

#[wasm_bindgen]
extern "C" {
    /// The link of `page/engine.js`, whose other end is the worker with the WebSocket.
    pub type Link;

    /// Waits for bytes; how many were written to `into`, 0 at the stream's end, -1 if the time is up.
    #[wasm_bindgen(method)]
    fn read(this: &Link, into: &mut [u8]) -> i32;

    /// Posts bytes to the other worker; whether it is still there. Never waits.
    #[wasm_bindgen(method)]
    fn write(this: &Link, bytes: &[u8]) -> bool;

    /// Tells the page what happens: JSON of an [`WebEvent`].
    #[wasm_bindgen(method)]
    fn tell(this: &Link, event: &str);

    /// Shows the page a picture: rows of pixels, one or three bytes each.
    #[wasm_bindgen(method)]
    fn picture(this: &Link, width: u32, height: u32, channels: u32, bytes: &[u8]);
}

thread_local! {
    /// The one link of this worker: values of JavaScript cannot be sent between threads, of which there is
    /// one here, but channels may be.
    static LINK: RefCell<Option<Link>> = const { RefCell::new(None) };
}

/// What `act` gives of the link.
fn with<T>(act: impl FnOnce(&Link) -> T) -> io::Result<T> {
    LINK.with_borrow(|link| link.as_ref().map(act)).ok_or_else(|| io::ErrorKind::BrokenPipe.into())
}

struct LinkReader;
struct LinkWriter;

impl Read for LinkReader {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match with(|link| link.read(bytes))? {
            -1 => Err(io::ErrorKind::TimedOut.into()),
            count => usize::try_from(count).map_err(io::Error::other),
        }
    }
}

impl Write for LinkWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if with(|link| link.write(bytes))? {
            Ok(bytes.len())
        } else {
            Err(io::ErrorKind::BrokenPipe.into())
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The page; one that is gone needs no progress.
struct Page;

impl PredictionWatcher for Page {
    fn event(&self, event: &WebEvent<'_>) {
        if let Ok(text) = serde_json::to_string(event) {
            let _ = with(|link| link.tell(&text));
        }
    }

    fn picture(&self, picture: &Image) {
        let Image { width, height, channels, bytes } = picture;
        let [width, height, channels] = [*width as u32, *height as u32, *channels as u32];
        let _ = with(|link| link.picture(width, height, channels, bytes));
    }
}

fn channel(link: Link) -> Channel {
    LINK.set(Some(link));
    Channel::new(Box::new(io::BufReader::with_capacity(64 << 10, LinkReader)), Box::new(LinkWriter))
        .single_threaded()
}

/// A JavaScript error whose name is [`WebError::kind`].
fn thrown(error: &WebError) -> JsError {
    JsError::new(&format!("{}: {error}", error.kind()))
}

/// The server's models, as JSON.
///
/// # Errors
/// `kind: text`, as [`WebError::kind`] names it.
#[wasm_bindgen]
pub fn catalogue(link: Link) -> Result<String, JsError> {
    let bytes = gazelle::catalogue(channel(link)).map_err(|error| thrown(&error.into()))?;
    String::from_utf8(bytes).map_err(|error| thrown(&GazelleError::Peer(error.to_string()).into()))
}

/// The prediction for a file, as JSON of an [`WebAnswer`](crate::WebAnswer).
///
/// # Errors
/// As [`catalogue`].
#[wasm_bindgen]
pub fn infer(
    link: Link,
    model: &str,
    digest: &str,
    name: &str,
    file: &[u8],
) -> Result<String, JsError> {
    let watcher: Arc<dyn PredictionWatcher> = Arc::new(Page);
    let wanted = WantedPrediction { model, digest, name, file };
    let answer = predict(channel(link), &wanted, &watcher);
    answer.and_then(|answer| Ok(serde_json::to_string(&answer)?)).map_err(|error| thrown(&error))
}

/// Blocks of AES-128 per second here, hashed as OTs are: what a prediction mostly waits for. The best of
/// a few runs, because a browser compiles code again once it is hot.
///
/// # Errors
/// If the browser gives no random numbers.
#[wasm_bindgen(js_name = blocksPerSecond)]
pub fn blocks_per_second() -> Result<f64, JsError> {
    const BATCH: usize = 1 << 12;
    const RUNS: usize = 8;
    let mut rng = gazelle::system_rng()?;
    let hash = HashSeed::new(&Seed::random(&mut rng));
    let (blocks, mut out) = (vec![Block::default(); BATCH], vec![Block::default(); BATCH]);
    let mut best = 0f64;
    for run in 0..RUNS {
        let (start, mut batches) = (Instant::now(), 0);
        while start.elapsed() < Duration::from_millis(10) {
            hash.hash(((run + batches) * BATCH) as u64, &blocks, &mut out);
            batches += 1;
        }
        best = best.max((batches * BATCH) as f64 / start.elapsed().as_secs_f64());
    }
    Ok(best)
}
