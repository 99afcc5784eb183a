//! Makes small pictures: PNG or JPEG in, RGB pixels (kind video, `rgb24`) or a PNG or JPEG file (kind binary) out.
//!
//! Config: `width`, `height` (at most, 160 each), `fit` (`contain` keeps the whole picture, `cover` fills and cuts,
//! `stretch` ignores the proportions), `output` (`video`, `png`, `jpeg`), `quality` (JPEG, 1 to 100, default 80),
//! `maxPixels` (of the source, default 16 million). Turned as its EXIF data says; never made larger than the source,
//! except by `stretch`. Transparency goes. Not here: other formats, and colour profiles.

use image::{
    DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits, codecs::jpeg::JpegEncoder, codecs::png::PngEncoder,
    imageops::FilterType,
};
use remotemedia_guest::{Config, Error, Input, Node, Output, export_node};
use serde::Deserialize;
use std::io::Cursor;

export_node!(Thumbnail);

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Fit {
    Contain,
    Cover,
    Stretch,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Target {
    Video,
    Png,
    Jpeg,
}

/// The node: its options.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Thumbnail {
    width: u32,
    height: u32,
    fit: Fit,
    output: Target,
    quality: u8,
    max_pixels: u64,
}

impl Default for Thumbnail {
    fn default() -> Self {
        Self { width: 160, height: 160, fit: Fit::Contain, output: Target::Video, quality: 80, max_pixels: 16_000_000 }
    }
}

impl Node for Thumbnail {
    fn initialize(_session: &str, config: &Config) -> Result<Self, Error> {
        let options: Self = config.parse()?;
        let rules = [
            ("width", (1..=4096).contains(&options.width), "must be between 1 and 4096"),
            ("height", (1..=4096).contains(&options.height), "must be between 1 and 4096"),
            ("quality", (1..=100).contains(&options.quality), "must be between 1 and 100"),
            ("maxPixels", options.max_pixels > 0, "must be above 0"),
        ];
        match rules.into_iter().find(|(_, good, _)| !good) {
            Some((field, _, problem)) => Err(Error::config(field, problem)),
            None => Ok(options),
        }
    }

    fn process(&mut self, input: &Input<'_>, out: &mut Output<'_>) -> Result<(), Error> {
        let small = self.resize(self.decode(input.bytes())?).into_rgb8();
        let mut file = Vec::new();
        let written = match self.output {
            Target::Video => return out.emit_video(&small, small.width(), small.height(), "rgb24"),
            Target::Png => small.write_with_encoder(PngEncoder::new(&mut file)),
            Target::Jpeg => small.write_with_encoder(JpegEncoder::new_with_quality(&mut file, self.quality)),
        };
        written.map_err(|error| Error::new(format!("encoding: {error}")))?;
        out.emit_binary(&file)
    }
}

impl Thumbnail {
    fn decode(&self, bytes: &[u8]) -> Result<DynamicImage, Error> {
        let bad = |error: image::ImageError| Error::new(format!("picture: {error}"));
        let format = image::guess_format(bytes).map_err(bad)?;
        if !matches!(format, ImageFormat::Png | ImageFormat::Jpeg) {
            return Err("picture: neither PNG nor JPEG".into());
        }
        let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
        let mut limits = Limits::default();
        // Four bytes per pixel, twice: a decoder holds the picture and a copy of it.
        limits.max_alloc = Some(self.max_pixels.saturating_mul(8));
        reader.limits(limits);
        let mut decoder = reader.into_decoder().map_err(bad)?;
        let (width, height) = decoder.dimensions();
        // Asked before anything is decoded: a few bytes can claim any size.
        if u64::from(width) * u64::from(height) > self.max_pixels {
            return Err(Error::new(format!("picture: {width} x {height} is more than maxPixels")));
        }
        let orientation = decoder.orientation().map_err(bad)?;
        let mut picture = DynamicImage::from_decoder(decoder).map_err(bad)?;
        picture.apply_orientation(orientation);
        Ok(picture)
    }

    fn resize(&self, picture: DynamicImage) -> DynamicImage {
        let (width, height) = (picture.width(), picture.height());
        match self.fit {
            Fit::Stretch => picture.resize_exact(self.width, self.height, FilterType::Triangle),
            Fit::Cover if width >= self.width && height >= self.height => {
                picture.resize_to_fill(self.width, self.height, FilterType::Triangle)
            }
            Fit::Cover => {
                let (w, h) = (self.width.min(width), self.height.min(height));
                picture.crop_imm((width - w) / 2, (height - h) / 2, w, h)
            }
            Fit::Contain if width > self.width || height > self.height => {
                picture.resize(self.width, self.height, FilterType::Triangle)
            }
            Fit::Contain => picture,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::RgbImage;
    use remotemedia_guest::testing::Session;

    fn picture(width: u32, height: u32, format: ImageFormat) -> Vec<u8> {
        let image = RgbImage::from_fn(width, height, |x, _| image::Rgb([if x < width / 2 { 250 } else { 5 }, 9, 9]));
        let mut file = Cursor::new(vec![]);
        image.write_to(&mut file, format).unwrap();
        file.into_inner()
    }

    fn run(config: &str, file: &[u8]) -> Result<(Vec<u8>, String), Error> {
        let mut session = Session::<Thumbnail>::start(config)?;
        let got = session.process(file, "{}")?.remove(0);
        Ok((got.data, got.meta))
    }

    #[test]
    fn sizes_follow_the_fit() {
        for (config, size) in [
            (r#"{"width":40,"height":40}"#, (40, 20)),
            (r#"{"width":40,"height":40,"fit":"cover"}"#, (40, 40)),
            (r#"{"width":40,"height":30,"fit":"stretch"}"#, (40, 30)),
            (r#"{"width":400,"height":400}"#, (200, 100)),
            (r#"{"width":150,"height":400,"fit":"cover"}"#, (150, 100)),
        ] {
            for format in [ImageFormat::Png, ImageFormat::Jpeg] {
                let (pixels, meta) = run(config, &picture(200, 100, format)).unwrap();
                assert_eq!(meta, format!(r#"{{"width":{},"height":{},"format":"rgb24"}}"#, size.0, size.1));
                assert_eq!(pixels.len(), size.0 * size.1 * 3);
                assert!(pixels[0] > 200 && pixels[size.0 * 3 - 3] < 50);
            }
        }
    }

    #[test]
    fn files_come_out_as_asked() {
        let source = picture(200, 100, ImageFormat::Png);
        let (png, _) = run(r#"{"output":"png"}"#, &source).unwrap();
        assert!(png.starts_with(b"\x89PNG"));
        let (jpeg, _) = run(r#"{"output":"jpeg","quality":50}"#, &source).unwrap();
        assert!(jpeg.starts_with(&[0xff, 0xd8, 0xff]));
    }

    #[test]
    fn bad_pictures_and_configs_are_refused() {
        let message = |config, file: &[u8]| run(config, file).unwrap_err().message().to_string();
        assert!(message("{}", b"GIF89a").contains("neither PNG nor JPEG"));
        assert!(message("{}", b"hello").starts_with("picture:"));
        assert!(message("{}", &picture(9, 9, ImageFormat::Png)[..60]).starts_with("picture:"));
        assert!(message(r#"{"maxPixels":80}"#, &picture(9, 9, ImageFormat::Png)).contains("maxPixels"));
        assert!(message(r#"{"width":0}"#, b"").starts_with("config.width:"));
        assert!(message(r#"{"quality":101}"#, b"").starts_with("config.quality:"));
        assert!(message(r#"{"fit":"best"}"#, b"").starts_with("config.fit:"));
    }
}
