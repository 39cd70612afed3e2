//! Pictures over Anthropic's limits (`reference/anthropic-api.md` §1.6, "Media sources") made smaller.
//!
//! The work is bounded whatever the bytes say: a picture that would take more memory is left alone. Which size and which
//! encoder depends on the picture alone, so that it has the same bytes in every turn.

use std::io::Cursor;

use image::{
    DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits, RgbImage,
    codecs::jpeg::JpegEncoder, imageops,
};

/// Maximum size of a picture in bytes. The strictest of Anthropic's platforms counts 5 MB.
const MOST_BYTES: usize = 5 << 20;
/// Maximum length of a side in pixels.
pub(super) const LONGEST_SIDE: u32 = 8000;
/// The same in a request with more than [`MANY`] pictures.
pub(super) const LONGEST_SIDE_OF_MANY: u32 = 2000;
/// The number of pictures up to which sides may be longer.
pub(super) const MANY: usize = 20;

/// Maximum number of pixels of a picture that is decoded.
const MOST_PIXELS: u64 = 64 << 20;
/// Maximum size of a decoded picture in bytes.
const MOST_MEMORY: u64 = 256 << 20;
/// Sides of the result, tried in this order. The first one fits any number of pictures, and Claude sees no more.
const SIDES: [u32; 3] = [LONGEST_SIDE_OF_MANY, 1400, 1000];
/// JPEG quality, at which text stays sharp.
const QUALITY: u8 = 88;

/// The limit that a picture exceeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Excess {
    /// [`MOST_BYTES`].
    Bytes,
    /// The longest side.
    Side,
}

/// The limit that a picture of this media type exceeds; `None` if it can be sent as it is.
pub(super) fn excess(bytes: &[u8], media_type: &str, longest_side: u32) -> Option<Excess> {
    if bytes.len() > MOST_BYTES {
        return Some(Excess::Bytes);
    }
    // Upstream has the last word on pictures whose size cannot be read.
    let (width, height) = reader(bytes, media_type)?.into_dimensions().ok()?;
    (width.max(height) > longest_side).then_some(Excess::Side)
}

/// A picture within all limits, with its media type; `None` if it cannot be decoded within bounds.
pub(super) fn shrink(bytes: &[u8], media_type: &str) -> Option<(&'static str, Vec<u8>)> {
    let mut decoder = reader(bytes, media_type)?.into_decoder().ok()?;
    let (width, height) = decoder.dimensions();
    let pixels = u64::from(width) * u64::from(height);
    if pixels > MOST_PIXELS || decoder.total_bytes() > MOST_MEMORY {
        return None;
    }
    // Cameras store the side that is up beside the pixels, where the new picture has nothing.
    let orientation = decoder.orientation().ok();
    let mut picture = DynamicImage::from_decoder(decoder).ok()?;
    let is_opaque = !picture.color().has_alpha();
    let mut oriented = false;
    SIDES.into_iter().find_map(|side| {
        if picture.width().max(picture.height()) > side {
            picture = picture.thumbnail(side, side);
        }
        if !std::mem::replace(&mut oriented, true)
            && let Some(orientation) = orientation
        {
            picture.apply_orientation(orientation);
        }
        let fits = |encoded: &Vec<u8>| encoded.len() <= MOST_BYTES;
        let lossless = || Some(("image/png", png(&picture)?)).filter(|(_, encoded)| fits(encoded));
        let lossy = || Some(("image/jpeg", jpeg(&picture)?)).filter(|(_, encoded)| fits(encoded));
        if is_opaque { lossy() } else { lossless().or_else(lossy) }
    })
}

fn reader<'a>(bytes: &'a [u8], media_type: &str) -> Option<ImageReader<Cursor<&'a [u8]>>> {
    let format = ImageFormat::from_mime_type(media_type)?;
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    let mut limits = Limits::default();
    limits.max_alloc = Some(MOST_MEMORY);
    reader.limits(limits);
    Some(reader)
}

fn png(picture: &DynamicImage) -> Option<Vec<u8>> {
    let mut encoded = Cursor::new(Vec::new());
    // 8 bits a channel are all that Claude sees.
    DynamicImage::from(picture.to_rgba8()).write_to(&mut encoded, ImageFormat::Png).ok()?;
    Some(encoded.into_inner())
}

/// The picture as a JPEG, on white where it is transparent.
fn jpeg(picture: &DynamicImage) -> Option<Vec<u8>> {
    let opaque = if picture.color().has_alpha() {
        let mut ground = DynamicImage::from(RgbImage::from_pixel(
            picture.width(),
            picture.height(),
            [255; 3].into(),
        ))
        .to_rgba8();
        imageops::overlay(&mut ground, &picture.to_rgba8(), 0, 0);
        DynamicImage::from(ground).to_rgb8()
    } else {
        picture.to_rgb8()
    };
    let mut encoded = Vec::new();
    JpegEncoder::new_with_quality(&mut encoded, QUALITY).encode_image(&opaque).ok()?;
    Some(encoded)
}

#[cfg(test)]
mod tests {
    use image::{GrayImage, Rgba, RgbaImage};
    use proptest::prelude::*;

    use super::*;

    /// Pixels that no encoder makes small.
    fn noise(width: u32, height: u32) -> RgbaImage {
        let mut state = 1_u32;
        RgbaImage::from_fn(width, height, |_, _| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let [red, green, blue, _] = state.to_le_bytes();
            Rgba([red, green, blue, 255])
        })
    }

    fn encoded(picture: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
        let mut encoded = Cursor::new(Vec::new());
        picture.into().write_to(&mut encoded, format).unwrap();
        encoded.into_inner()
    }

    #[test]
    fn pictures_within_the_limits_are_left_alone() {
        for (side, longest, expected) in [
            (8000, LONGEST_SIDE, None),
            (8001, LONGEST_SIDE, Some(Excess::Side)),
            (2000, LONGEST_SIDE_OF_MANY, None),
            (2001, LONGEST_SIDE_OF_MANY, Some(Excess::Side)),
        ] {
            for (width, height) in [(side, 1), (1, side)] {
                let png = encoded(GrayImage::new(width, height), ImageFormat::Png);
                assert_eq!(excess(&png, "image/png", longest), expected, "{width}×{height}");
            }
        }
        assert_eq!(excess(b"\x89PNG\r\n\x1a\n", "image/png", LONGEST_SIDE), None);
        assert_eq!(
            excess(&vec![0; MOST_BYTES + 1], "image/png", LONGEST_SIDE),
            Some(Excess::Bytes)
        );
    }

    #[test]
    fn what_is_too_large_fits_afterwards_in_every_format() {
        for (media_type, format, picture) in [
            ("image/png", ImageFormat::Png, DynamicImage::from(noise(1300, 1300))),
            ("image/png", ImageFormat::Png, GrayImage::new(9000, 300).into()),
            ("image/webp", ImageFormat::WebP, noise(2300, 100).into()),
            ("image/gif", ImageFormat::Gif, noise(2300, 20).into()),
            ("image/jpeg", ImageFormat::Jpeg, GrayImage::new(100, 8100).into()),
        ] {
            let bytes = encoded(picture.clone(), format);
            assert!(excess(&bytes, media_type, LONGEST_SIDE_OF_MANY).is_some());
            let (shrunk_type, shrunk) = shrink(&bytes, media_type).unwrap();
            assert_eq!(excess(&shrunk, shrunk_type, LONGEST_SIDE_OF_MANY), None, "{media_type}");
            assert_eq!(shrink(&bytes, media_type).unwrap().1, shrunk, "deterministic");
            let size = reader(&shrunk, shrunk_type).unwrap().into_dimensions().unwrap();
            let ratio = |(width, height): (u32, u32)| f64::from(width) / f64::from(height);
            let given = ratio((picture.width(), picture.height()));
            assert!((ratio(size) / given - 1.0).abs() < 0.2, "{media_type}: {size:?}");
        }
    }

    #[test]
    fn transparent_pictures_stay_transparent() {
        let clear = encoded(RgbaImage::new(9000, 10), ImageFormat::Png);
        let (media_type, shrunk) = shrink(&clear, "image/png").unwrap();
        assert_eq!(media_type, "image/png");
        let shrunk = image::load_from_memory(&shrunk).unwrap().to_rgba8();
        assert!(shrunk.pixels().all(|pixel| pixel.0[3] == 0));
        let white = image::load_from_memory(&jpeg(&RgbaImage::new(8, 8).into()).unwrap()).unwrap();
        assert!(white.to_rgb8().pixels().all(|pixel| pixel.0.iter().all(|&value| value > 250)));
    }

    #[test]
    fn the_side_that_is_up_stays_up() {
        let wide = encoded(GrayImage::new(9000, 100), ImageFormat::Jpeg);
        // EXIF: one entry, orientation 6, a quarter turn.
        let exif = b"\xff\xe1\0\x22Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";
        let turned = [&wide[..2], exif, &wide[2..]].concat();
        let (_, shrunk) = shrink(&turned, "image/jpeg").unwrap();
        let shrunk = image::load_from_memory(&shrunk).unwrap();
        assert_eq!(shrunk.height(), 2000);
    }

    #[test]
    fn a_decompression_bomb_is_not_decoded() {
        let mut bomb = encoded(GrayImage::new(1, 1), ImageFormat::Png);
        // The sides in the header, with the checksum that belongs to them.
        bomb[16..24].copy_from_slice(&[0, 1, 0x86, 0xa0, 0, 1, 0x86, 0xa0]);
        let crc = crc32(&bomb[12..29]);
        bomb[29..33].copy_from_slice(&crc.to_be_bytes());
        assert_eq!(excess(&bomb, "image/png", LONGEST_SIDE), Some(Excess::Side));
        assert!(shrink(&bomb, "image/png").is_none());
    }

    fn crc32(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(!0, |crc, &byte| {
            (0..8).fold(crc ^ u32::from(byte), |crc, _| {
                if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 }
            })
        })
    }

    proptest! {
        #[test]
        fn no_damage_makes_us_panic(
            which in 0..4_usize,
            damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
            cut in any::<prop::sample::Index>(),
        ) {
            let (media_type, format) = [
                ("image/png", ImageFormat::Png),
                ("image/webp", ImageFormat::WebP),
                ("image/gif", ImageFormat::Gif),
                ("image/jpeg", ImageFormat::Jpeg),
            ][which];
            let picture = DynamicImage::from(noise(40, 30));
            let picture = if which == 3 { picture.to_rgb8().into() } else { picture };
            let mut bytes = encoded(picture, format);
            for (at, byte) in damage {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            bytes.truncate(cut.index(bytes.len() * 2).max(1));
            let _ = excess(&bytes, media_type, LONGEST_SIDE);
            let _ = shrink(&bytes, media_type);
        }
    }
}
