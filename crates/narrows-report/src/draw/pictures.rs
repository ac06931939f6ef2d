//! Pictures of images and weights, drawn pixel by pixel.

use narrows::Shape;
use narrows::base::text::figure_text;

use super::Figure;

/// The scale of images of rows: 0 is black, 1 is white.
pub(crate) const UNIT: (f32, f32) = (0.0, 1.0);
/// Images are enlarged to about this many pixels a side.
pub(crate) const TILE_SIDE: usize = 112;
/// The same for the filters of a pre-trained layer, which are many.
pub(crate) const FILTER_SIDE: usize = 60;

/// Largest number of examples.
const EXAMPLES: usize = 10;
/// Largest number of units; more would be too small to see.
const TILES: usize = 400;
/// Largest side of a picture in pixels, where it holds more than one image in that direction.
const CANVAS_SIDE: usize = 2400;
/// The colour of NaN, which no grey image has.
const NOT_A_NUMBER: [u8; 3] = [255, 0, 255];

/// The bytes of a PNG, its width and its height.
pub(crate) type Picture = (Vec<u8>, (u32, u32));

/// A grid of images on a transparent ground, each pixel enlarged to a square.
struct Canvas {
    width: usize,
    height: usize,
    /// Red, green, blue and opacity of each pixel, row after row.
    pixels: Vec<u8>,
    shape: Shape,
    scale: usize,
    gap: usize,
}

impl Canvas {
    fn new(shape: Shape, columns: usize, rows: usize, scale: usize, gap: usize) -> Self {
        let width = columns * shape.width * scale + (columns - 1) * gap;
        let height = rows * shape.height * scale + (rows - 1) * gap;
        Self { width, height, pixels: vec![0; width * height * 4], shape, scale, gap }
    }

    /// Fills the gaps and the empty tiles with a colour, against which white images have an edge.
    fn on(mut self, ground: [u8; 3]) -> Self {
        let [red, green, blue] = ground;
        self.pixels.chunks_exact_mut(4).for_each(|pixel| pixel.copy_from_slice(&[red, green, blue, 255]));
        self
    }

    /// Draws an image. `colour` maps the numbers of a pixel, one per channel, to its colour.
    fn draw(&mut self, column: usize, row: usize, image: &[f32], colour: impl Fn(&[f32]) -> [u8; 3]) {
        let Shape { height, width, channels } = self.shape;
        let left = column * (width * self.scale + self.gap);
        let top = row * (height * self.scale + self.gap);
        for (at, pixel) in image.chunks_exact(channels).enumerate() {
            let [red, green, blue] = colour(pixel);
            for y in 0..self.scale {
                let y = top + at / width * self.scale + y;
                let start = (y * self.width + left + at % width * self.scale) * 4;
                for out in self.pixels[start..start + self.scale * 4].chunks_exact_mut(4) {
                    out.copy_from_slice(&[red, green, blue, 255]);
                }
            }
        }
    }

    fn finish(self) -> Picture {
        let (width, height) = (self.width as u32, self.height as u32);
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, width, height);
        encoder.set_color(png::ColorType::Rgba);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.set_compression(png::Compression::Fast);
        encoder.set_filter(png::Filter::Adaptive);
        let written = encoder.write_header().and_then(|mut writer| writer.write_image_data(&self.pixels));
        written.expect("pixels of a matching length, written to memory");
        (bytes, (width, height))
    }
}

/// A grid of images in rows of `columns`, on a fixed scale. None where there are none, or no room for any.
pub(crate) fn grid(shape: Shape, images: &[f32], columns: usize, (low, high): (f32, f32)) -> Option<Picture> {
    let count = images.len().checked_div(shape.len()).filter(|&count| count > 0)?;
    let columns = columns.clamp(1, count).min((CANVAS_SIDE / shape.width).max(1));
    let rows = count.div_ceil(columns).min((CANVAS_SIDE / shape.height).max(1));
    let side = shape.height.max(shape.width);
    let scale = (TILE_SIDE.min(1200 / columns) / side).clamp(1, 16);
    let mut canvas = Canvas::new(shape, columns, rows, scale, 4);
    for (place, image) in images.chunks_exact(shape.len()).take(rows * columns).enumerate() {
        canvas.draw(place % columns, place / columns, image, |pixel| intensity(pixel, low, high));
    }
    Some(canvas.finish())
}

/// Images above their reconstructions. `corrupted` are the images with the noise that the model was given.
pub(crate) fn reconstructions(
    shape: Shape,
    originals: &[f32],
    corrupted: Option<&[f32]>,
    reconstructions: &[f32],
) -> Option<Figure> {
    if shape.len() == 0 {
        return None;
    }
    let mut rows = vec![originals];
    rows.extend(corrupted);
    rows.push(reconstructions);
    let columns = columns(shape, &rows);
    if columns == 0 {
        return None;
    }
    let (png, size) = strips(shape, &rows, columns);
    let middle = if corrupted.is_some() { " Middle: what the model was given." } else { "" };
    let order = format!("Top: the originals.{middle} Bottom: the reconstructions.");
    Some(Figure {
        name: "reconstructions".to_owned(),
        heading: "Reconstructions",
        caption: format!("{order} Fixed scale: 0 is black, 1 is white; values outside are clipped."),
        alternative: format!("{columns} images of {shape}, one a column. {order}"),
        svg: None,
        png,
        size,
    })
}

/// The number of images in a strip: limited by the shortest of `rows`, by the width of a picture, and by [`EXAMPLES`].
pub(crate) fn columns(shape: Shape, rows: &[&[f32]]) -> usize {
    let shown = rows.iter().map(|values| values.len() / shape.len().max(1)).min().unwrap_or(0).min(EXAMPLES);
    shown.min((CANVAS_SIDE / shape.width.max(1)).max(1))
}

/// Strips of images below each other, `columns` images each, from 0 (black) to 1 (white).
///
/// # Panics
/// Where there is no image, or an image has no numbers.
pub(crate) fn strips(shape: Shape, rows: &[&[f32]], columns: usize) -> Picture {
    let side = shape.height.max(shape.width);
    let scale = ((TILE_SIDE + side / 2) / side).clamp(1, 16);
    let mut canvas = Canvas::new(shape, columns, rows.len(), scale, 8);
    for (row, values) in rows.iter().enumerate() {
        for (column, image) in values.chunks_exact(shape.len()).take(columns).enumerate() {
            canvas.draw(column, row, image, |pixel| intensity(pixel, UNIT.0, UNIT.1));
        }
    }
    canvas.finish()
}

/// The weights of some units as images, one after the other.
pub(crate) struct Weights<'a> {
    /// The shape of each image.
    pub shape: Shape,
    /// `shape.len()` numbers for each image.
    pub images: &'a [f32],
    /// The number of units; there may be more of them than images.
    pub count: usize,
    /// The name of one unit, and of several.
    pub called: [&'static str; 2],
    /// Goes on from "one tile each" in the caption.
    pub what: &'a str,
}

/// One tile for each unit, all on one scale about zero; small images are enlarged to `side` pixels. None where the weights
/// are no images. `name` is the stem of its file.
pub(crate) fn weights(name: &str, weights: &Weights<'_>, side: usize) -> Option<Figure> {
    let Weights { shape, images, count, called: [one, several], what } = *weights;
    if shape.len() == 0 || !shape.is_image() || images.len() < shape.len() {
        return None;
    }
    let shown = (images.len() / shape.len()).min(TILES);
    let columns = near_square(shown).min((CANVAS_SIDE / shape.width).max(1));
    let rows = shown.div_ceil(columns).min((CANVAS_SIDE / shape.height).max(1));
    let shown = shown.min(rows * columns);
    let drawn = &images[..shown * shape.len()];
    let largest = drawn
        .iter()
        .filter(|weight| weight.is_finite())
        .fold(0f32, |largest, weight| largest.max(weight.abs()));
    let scale = (side.min(1200 / columns) / shape.height.max(shape.width)).clamp(1, 16);
    let (png, size) = tiles(shape, drawn, (columns, rows), scale, largest);
    let which = match count {
        1 => format!("The one {one}"),
        _ if shown < count => format!("The first {shown} of {count} {several}"),
        _ => format!("All {count} {several}"),
    };
    let colours = match shape.channels {
        3 => "mid-grey is 0, full colour",
        _ => "blue is negative, white 0, red positive, full colour",
    };
    let largest = figure_text(f64::from(largest));
    Some(Figure {
        name: name.to_owned(),
        heading: "Weights",
        caption: format!("{which}, one tile each{what}. One scale for all: {colours} at ±{largest}."),
        alternative: format!("{which}, drawn as images of {shape} in {columns} columns."),
        svg: None,
        png,
        size,
    })
}

/// Draws weights in a grid of (columns, rows); `largest` has the full colour.
fn tiles(
    shape: Shape,
    images: &[f32],
    (columns, rows): (usize, usize),
    scale: usize,
    largest: f32,
) -> Picture {
    let mut canvas = Canvas::new(shape, columns, rows, scale, 3).on([222, 226, 232]);
    for (unit, image) in images.chunks_exact(shape.len()).enumerate() {
        canvas.draw(unit % columns, unit / columns, image, |pixel| match pixel {
            // The weights of a colour image are drawn as a colour: mid-grey is zero.
            [_, _, _] => intensity(pixel, -largest, largest),
            _ => diverging(mean(pixel), largest),
        });
    }
    canvas.finish()
}

/// The number of columns of a grid with the fewest empty tiles, from square to twice as wide as high.
fn near_square(count: usize) -> usize {
    let least = (1..).find(|side| side * side >= count).unwrap_or(1);
    (least..=2 * least).min_by_key(|&columns| count.div_ceil(columns) * columns - count).unwrap_or(least)
}

/// The colour of a pixel: three channels are red, green and blue; of another number of channels the mean is drawn in grey.
fn intensity(pixel: &[f32], low: f32, high: f32) -> [u8; 3] {
    match *pixel {
        [red, green, blue] if red.is_nan() || green.is_nan() || blue.is_nan() => NOT_A_NUMBER,
        [red, green, blue] => [byte(red, low, high), byte(green, low, high), byte(blue, low, high)],
        _ => {
            let value = mean(pixel);
            if value.is_nan() { NOT_A_NUMBER } else { [byte(value, low, high); 3] }
        }
    }
}

fn mean(pixel: &[f32]) -> f32 {
    if let [value] = *pixel { value } else { pixel.iter().sum::<f32>() / pixel.len() as f32 }
}

/// Maps `low` and below to 0, `high` and above to 255.
fn byte(value: f32, low: f32, high: f32) -> u8 {
    let share = (value - low) / (high - low).max(f32::MIN_POSITIVE);
    // The cast maps NaN to 0.
    (share.clamp(0.0, 1.0) * 255.0).round() as u8
}

/// Blue below zero, white at it, red above; full colour at `largest`.
fn diverging(value: f32, largest: f32) -> [u8; 3] {
    const BLUE: [f32; 3] = [33.0, 102.0, 172.0];
    const RED: [f32; 3] = [178.0, 24.0, 43.0];
    if value.is_nan() {
        return NOT_A_NUMBER;
    }
    let share = (value / largest.max(f32::MIN_POSITIVE)).clamp(-1.0, 1.0);
    let full = if share < 0.0 { BLUE } else { RED };
    full.map(|full| (255.0 + (full - 255.0) * share.abs()).round() as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grey_scale_is_fixed() {
        let greys = [
            (0.0, 0),
            (1.0, 255),
            (0.5, 128),
            (-3.0, 0),
            (7.0, 255),
            (f32::INFINITY, 255),
            (f32::NEG_INFINITY, 0),
        ];
        for (value, grey) in greys {
            assert_eq!(intensity(&[value], 0.0, 1.0), [grey; 3], "{value}");
        }
        assert_eq!(intensity(&[f32::NAN], 0.0, 1.0), NOT_A_NUMBER);
        assert_eq!(intensity(&[-1.0, 1.0, 0.0], -1.0, 1.0), [0, 255, 128]);
        assert_eq!(intensity(&[2.0], 2.0, 2.0), [0; 3]);
    }

    #[test]
    fn weights_diverge_from_white() {
        assert_eq!(diverging(0.0, 2.0), [255; 3]);
        assert_eq!(diverging(2.0, 2.0), [178, 24, 43]);
        assert_eq!(diverging(-2.0, 2.0), [33, 102, 172]);
        assert_eq!(diverging(0.0, 0.0), [255; 3]);
        let [red, green, blue] = diverging(1.0, 2.0);
        assert!(red > green && green.abs_diff(blue) < 20);
    }

    #[test]
    fn grids_are_near_square() {
        for (count, columns) in [(1, 1), (2, 2), (4, 2), (30, 6), (32, 8), (400, 20)] {
            assert_eq!(near_square(count), columns, "{count}");
        }
    }
}
