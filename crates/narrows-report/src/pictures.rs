//! Grids of images, pixel by pixel.

use image::{ExtendedColorType, ImageEncoder};

use super::{DecodedCodes, Examples, Figure, LayerAlone, WeightImages};
use narrows::base::text::figure_text;
use narrows::data::Shape;

/// Examples shown at most.
const EXAMPLES: usize = 10;
/// Code units shown at most; more would be too small to see.
const TILES: usize = 400;
/// Small images are enlarged to about this many pixels a side.
const TILE_SIDE: usize = 112;
/// As much for the units of a layer that was trained alone: of those there are many.
const FILTER_SIDE: usize = 60;
/// A picture stays within this many pixels a side while it holds more than one image in that direction.
const CANVAS_SIDE: usize = 2400;
/// What is not a number is drawn in a colour that grey images do not have.
const NOT_A_NUMBER: [u8; 3] = [255, 0, 255];

/// The bytes of a PNG, and its width and height.
type Picture = (Vec<u8>, (u32, u32));

/// Images side by side on a transparent ground, each pixel enlarged to a square.
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

    /// Lines and empty places in a colour of their own: a ground on which white images still have an edge.
    fn on(mut self, ground: [u8; 3]) -> Self {
        let [red, green, blue] = ground;
        self.pixels.chunks_exact_mut(4).for_each(|pixel| pixel.copy_from_slice(&[red, green, blue, 255]));
        self
    }

    /// Draws an image whose pixels `colour` turns from their `channels` numbers into a colour.
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
        let mut png = Vec::new();
        image::codecs::png::PngEncoder::new(&mut png)
            .write_image(&self.pixels, width, height, ExtendedColorType::Rgba8)
            .expect("pixels of a matching length, written to memory");
        (png, (width, height))
    }
}

/// Images in rows of `columns`, on a fixed scale, as a PNG. None where there is no room for any.
pub(super) fn grid(shape: Shape, images: &[f32], columns: usize, (low, high): (f32, f32)) -> Option<Picture> {
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

/// The figure of images that the decoder makes of codes.
pub(super) fn decoded(decoded: &DecodedCodes) -> Option<Figure> {
    if !decoded.shape.is_image() {
        return None;
    }
    let (png, size) = grid(decoded.shape, decoded.images, decoded.columns, (decoded.low, decoded.high))?;
    let (low, high) = (figure_text(f64::from(decoded.low)), figure_text(f64::from(decoded.high)));
    Some(Figure {
        name: "decoded".to_owned(),
        heading: "Decoded codes",
        caption: format!("{} Fixed scale: {low} is black, {high} is white.", decoded.what),
        alternative: format!("Images of {} in {} columns. {}", decoded.shape, decoded.columns, decoded.what),
        svg: None,
        png,
        size,
    })
}

/// Each original above what the model saw, where that differs, above what it rebuilt.
pub(super) fn reconstructions(examples: &Examples) -> Option<Figure> {
    let shape = examples.shape;
    if shape.len() == 0 {
        return None;
    }
    let mut rows = vec![("the originals", examples.originals)];
    rows.extend(examples.corrupted.map(|corrupted| ("what the model was given", corrupted)));
    rows.push(("the reconstructions", examples.reconstructions));

    let values: Vec<&[f32]> = rows.iter().map(|(_, values)| *values).collect();
    let columns = columns(shape, &values);
    if columns == 0 {
        return None;
    }
    let (png, size) = strips(shape, &values, columns, (examples.low, examples.high));

    let mut names: Vec<_> = rows.iter().map(|(name, _)| *name).collect();
    names[0] = "Top: the originals";
    let order = match names[..] {
        [first, middle, last] => format!("{first}. Middle: {middle}. Bottom: {last}."),
        _ => format!("{}. Bottom: {}.", names[0], names[names.len() - 1]),
    };
    let (low, high) = (figure_text(f64::from(examples.low)), figure_text(f64::from(examples.high)));
    Some(Figure {
        name: "reconstructions".to_owned(),
        heading: "Reconstructions",
        caption: format!("{order} Fixed scale: {low} is black, {high} is white; values outside are clipped."),
        alternative: format!("{} images of {shape}, one a column. {order}", columns),
        svg: None,
        png,
        size,
    })
}

/// The images that one strip holds: as many as all slices have, as fit, and as are worth showing.
pub(super) fn columns(shape: Shape, rows: &[&[f32]]) -> usize {
    let shown = rows.iter().map(|values| values.len() / shape.len().max(1)).min().unwrap_or(0).min(EXAMPLES);
    shown.min((CANVAS_SIDE / shape.width.max(1)).max(1))
}

/// Strips of images below each other, `columns` images each (at least one, of at least one number).
pub(super) fn strips(
    shape: Shape,
    rows: &[&[f32]],
    columns: usize,
    (low, high): (f32, f32),
) -> (Vec<u8>, (u32, u32)) {
    let side = shape.height.max(shape.width);
    let scale = ((TILE_SIDE + side / 2) / side).clamp(1, 16);
    let mut canvas = Canvas::new(shape, columns, rows.len(), scale, 8);
    for (row, values) in rows.iter().enumerate() {
        for (column, image) in values.chunks_exact(shape.len()).take(columns).enumerate() {
            canvas.draw(column, row, image, |pixel| intensity(pixel, low, high));
        }
    }
    canvas.finish()
}

/// One tile per unit next to the rows.
pub(super) fn weights(weights: &WeightImages) -> Option<Figure> {
    let count = weights.images.len().checked_div(weights.shape.len())?;
    tiles("weights".to_owned(), weights, count, "", TILE_SIDE)
}

/// One tile for each of the first units of layer number `place` (from 0), which was trained alone.
pub(super) fn filters(name: String, place: usize, layer: &LayerAlone) -> Option<Figure> {
    let what = match place {
        0 => ": the weights with which a unit adds up the numbers of a row".to_owned(),
        _ => format!(
            ": what a unit looks for in a row, as the sum of the images of layer {place}, weighted as it weights \
             the units of that layer (Lee et al. 2008); the functions between are left out"
        ),
    };
    tiles(name, &layer.filters?, layer.widths.1, &what, FILTER_SIDE)
}

/// One tile per unit, all on one scale about zero. `count` is how many units there are, `what` goes on from "one tile
/// each", `side` is that of a small image when it is enlarged.
fn tiles(name: String, weights: &WeightImages, count: usize, what: &str, side: usize) -> Option<Figure> {
    let shape = weights.shape;
    if shape.len() == 0 || !shape.is_image() || weights.images.len() < shape.len() {
        return None;
    }
    let shown = (weights.images.len() / shape.len()).min(TILES);
    let columns = near_square(shown).min((CANVAS_SIDE / shape.width).max(1));
    let rows = shown.div_ceil(columns).min((CANVAS_SIDE / shape.height).max(1));
    let shown = shown.min(rows * columns);
    let scale = (side.min(1200 / columns) / shape.height.max(shape.width)).clamp(1, 16);
    let drawn = &weights.images[..shown * shape.len()];
    let largest = drawn
        .iter()
        .filter(|weight| weight.is_finite())
        .fold(0f32, |largest, weight| largest.max(weight.abs()));

    let mut canvas = Canvas::new(shape, columns, rows, scale, 3).on([222, 226, 232]);
    for (unit, image) in drawn.chunks_exact(shape.len()).enumerate() {
        canvas.draw(unit % columns, unit / columns, image, |pixel| match pixel {
            // Weights of a colour image are colours themselves: mid-grey is zero.
            [_, _, _] => intensity(pixel, -largest, largest),
            _ => diverging(mean(pixel), largest),
        });
    }
    let (png, size) = canvas.finish();

    let [one, several] = weights.called;
    let which = match count {
        1 => format!("The one {one}"),
        _ if shown < count => format!("The first {shown} of {count} {several}"),
        _ => format!("All {count} {several}"),
    };
    let colours = if shape.channels == 3 {
        "mid-grey is 0, full colour"
    } else {
        "blue is negative, white 0, red positive, full colour"
    };
    Some(Figure {
        name,
        heading: "Weights",
        caption: format!(
            "{which}, one tile each{what}. One scale for all: {colours} at ±{}.",
            figure_text(f64::from(largest))
        ),
        alternative: format!("{which}, drawn as images of {shape} in {columns} columns."),
        svg: None,
        png,
        size,
    })
}

/// Columns of a grid that is nearly square, or up to twice as wide as high, and leaves the fewest tiles empty.
fn near_square(count: usize) -> usize {
    let least = (1..).find(|side| side * side >= count).unwrap_or(1);
    (least..=2 * least).min_by_key(|&columns| count.div_ceil(columns) * columns - count).unwrap_or(least)
}

/// Three channels are red, green and blue; any other number is drawn as its mean, in grey.
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

/// `low` and below to 0, `high` and above to 255. An empty scale is cut at its one value.
fn byte(value: f32, low: f32, high: f32) -> u8 {
    let share = (value - low) / (high - low).max(f32::MIN_POSITIVE);
    // A cast takes what is not a number to 0.
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
