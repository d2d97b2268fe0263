//! Drawing an image in a terminal: two pixels per character cell.

use std::fmt::Write;

use gazelle_input::Image;

/// Columns of the drawing at most.
const COLUMNS: usize = 56;

/// The image in half-block characters with 24-bit colours.
pub(crate) fn image(image: &Image) -> String {
    let scale = image.width.div_ceil(COLUMNS).max(1);
    let (columns, rows) = (image.width / scale, image.height / scale);
    let pixel = |x: usize, y: usize| -> [u8; 3] {
        let start = (y * scale * image.width + x * scale) * image.channels;
        let at = |channel: usize| {
            let channel = channel.min(image.channels - 1);
            image.bytes.get(start + channel).copied().unwrap_or_default()
        };
        [at(0), at(1), at(2)]
    };
    let mut text = String::new();
    for pair in 0..rows.div_ceil(2) {
        for x in 0..columns {
            let [r, g, b] = pixel(x, 2 * pair);
            let [lower_r, lower_g, lower_b] =
                if 2 * pair + 1 < rows { pixel(x, 2 * pair + 1) } else { [0; 3] };
            // Writing to a string cannot fail.
            let _ = write!(
                text,
                "\x1b[38;2;{r};{g};{b}m\x1b[48;2;{lower_r};{lower_g};{lower_b}m\u{2580}"
            );
        }
        text.push_str("\x1b[0m\n");
    }
    text
}

/// The image in plain characters, for output that is no terminal.
pub(crate) fn plain(image: &Image) -> String {
    const SHADES: [char; 6] = [' ', '.', ':', 'o', '#', '@'];
    let scale = image.width.div_ceil(COLUMNS).max(1);
    let mut text = String::new();
    for y in (0..image.height / scale).step_by(2) {
        for x in 0..image.width / scale {
            let start = (y * scale * image.width + x * scale) * image.channels;
            let sum: usize = (0..image.channels)
                .map(|channel| usize::from(image.bytes.get(start + channel).copied().unwrap_or(0)))
                .sum();
            let shade = sum * SHADES.len() / (256 * image.channels.max(1));
            text.push(SHADES.get(shade).copied().unwrap_or(' '));
        }
        text.truncate(text.trim_end_matches(' ').len());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drawings_have_a_line_for_two_rows() {
        let grey = Image { width: 3, height: 5, channels: 1, bytes: vec![200; 15] };
        assert_eq!(image(&grey).lines().count(), 3);
        assert_eq!(plain(&grey).lines().count(), 3);
        assert_eq!(plain(&grey).lines().next(), Some("###"));
    }
}
