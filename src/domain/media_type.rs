//! Media types of files, by their first bytes.

use memchr::memmem;

/// The media type of a PDF.
pub const PDF: &str = "application/pdf";

/// The number of bytes in which the signature of a PDF may stand, as the readers of PDFs have it.
const PDF_SIGNATURE_WITHIN: usize = 1024;

/// The media type of an image that Claude reads, or of a PDF; `None` for any other file.
pub fn sniff(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Some("image/png"),
        [0xff, 0xd8, 0xff, ..] => Some("image/jpeg"),
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some("image/gif"),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some("image/webp"),
        [b'%', b'P', b'D', b'F', b'-', ..] => Some(PDF),
        _ => None,
    }
}

/// Offset of a PDF in a file that has something else before it. A text that tells of PDFs is none, unless it is
/// `declared` one.
pub fn embedded_pdf(bytes: &[u8], declared: bool) -> Option<usize> {
    let beginning = &bytes[..bytes.len().min(PDF_SIGNATURE_WITHIN)];
    let at = memmem::find(beginning, b"%PDF-")?;
    let is_blank = || bytes[..at].iter().all(u8::is_ascii_whitespace);
    (declared || is_blank() || !is_text(bytes)).then_some(at)
}

fn is_text(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok_and(|text| !text.contains('\0'))
}

/// The text of a file in UTF-8; `None` for a file that is no text. A NUL is the sign of a binary file.
pub fn text(bytes: Vec<u8>) -> Option<String> {
    String::from_utf8(bytes).ok().filter(|text| !text.contains('\0'))
}

/// The media type of a well-known file that Claude does not read, by its first bytes.
pub fn sniff_unreadable(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [b'B', b'M', _, _, _, _, 0, 0, 0, 0, ..] => Some("image/bmp"),
        [b'I', b'I', 42, 0, ..] | [b'M', b'M', 0, 42, ..] => Some("image/tiff"),
        [0, 0, 1, 0, ..] => Some("image/x-icon"),
        [_, _, _, _, b'f', b't', b'y', b'p', brand @ ..] => match brand.get(..4)? {
            b"avif" | b"avis" => Some("image/avif"),
            b"heic" | b"heix" | b"hevc" | b"heim" | b"heis" | b"mif1" | b"msf1" => {
                Some("image/heic")
            }
            b"M4A " => Some("audio/mp4"),
            b"qt  " => Some("video/quicktime"),
            _ => Some("video/mp4"),
        },
        [b'P', b'K', 3, 4, ..] => Some("application/zip"),
        _ => {
            let beginning = &bytes[..bytes.len().min(PDF_SIGNATURE_WITHIN)];
            memmem::find(beginning, b"<svg").map(|_| "image/svg+xml")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pdf_may_begin_within_1024_bytes() {
        let pdf = |before: &[u8]| [before, b"%PDF-1.7\n%\xe2\xe3\n"].concat();
        for (at, expected) in [(0, Some(0)), (1019, Some(1019)), (1020, None)] {
            assert_eq!(embedded_pdf(&pdf(&vec![b'x'; at]), false), expected);
        }
        let telling = b"The first bytes of a PDF are %PDF-1.7.";
        assert_eq!(embedded_pdf(telling, false), None);
        assert_eq!(embedded_pdf(telling, true), Some(29));
        assert_eq!(embedded_pdf(b"\r\n %PDF-1.4", false), Some(3));
    }
}
