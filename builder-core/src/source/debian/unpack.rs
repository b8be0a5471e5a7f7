//! Decompression by file name, bounded.

use std::io::{self, BufReader, Read};

/// A reader of what `input` holds, which is packed as the extension says.
pub(super) fn reader<'r>(
    input: impl Read + Send + 'r,
    extension: &str,
) -> Result<Box<dyn Read + Send + 'r>, String> {
    let input = BufReader::with_capacity(128 << 10, input);
    Ok(match extension {
        "" => Box::new(input),
        ".gz" => Box::new(flate2::bufread::MultiGzDecoder::new(input)),
        ".xz" => {
            let stream = liblzma::stream::Stream::new_stream_decoder(
                256 << 20,
                liblzma::stream::CONCATENATED,
            )
            .map_err(|e| e.to_string())?;
            Box::new(liblzma::bufread::XzDecoder::new_stream(input, stream))
        }
        ".zst" => {
            let mut decoder =
                zstd::stream::read::Decoder::with_buffer(input).map_err(|e| e.to_string())?;
            decoder.window_log_max(27).map_err(|e| e.to_string())?;
            Box::new(decoder)
        }
        other => return Err(format!("packed as `{other}`, which is not known")),
    })
}

/// All of a packed text; an error if it is longer than `limit`.
pub(super) fn text(input: impl Read + Send, extension: &str, limit: u64) -> Result<String, String> {
    let mut text = String::new();
    let fail = |e: io::Error| e.to_string();
    reader(input, extension)?.take(limit + 1).read_to_string(&mut text).map_err(fail)?;
    if text.len() as u64 > limit {
        return Err(format!("longer than {limit} bytes unpacked"));
    }
    Ok(text)
}
