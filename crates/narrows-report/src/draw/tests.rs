//! Figures of numbers as they may come: none, one, many, infinite, not a number.

use narrows::experiments::compare::{CodeSizeCurve, Point};
use narrows::progress::EpochRecord;
use narrows::{Labels, Shape};

use super::pictures::{TILE_SIDE, Weights};
use super::*;

const STRANGE: [f64; 9] =
    [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, f64::MIN_POSITIVE, -0.0, 1e-320, 1e99, -1e99];

const HOSTILE: &str = "<script src=\"http://evil\">&'\u{7}";

fn record(epoch: usize, train_loss: f64, held_out_loss: f64) -> EpochRecord {
    EpochRecord {
        epoch,
        train_loss,
        held_out_loss,
        seconds: 1.0,
        active_units: None,
        held_out_error_rate: Some(held_out_loss),
    }
}

fn strange_history() -> Vec<EpochRecord> {
    STRANGE.iter().enumerate().map(|(epoch, &value)| record(epoch, value, -value)).collect()
}

fn curve(recipe: &str, points: &[(usize, f64)], elbow: Option<usize>) -> CodeSizeCurve {
    let point = |&(code_size, squared_error_per_row)| Point { code_size, squared_error_per_row };
    CodeSizeCurve { recipe: recipe.into(), points: points.iter().map(point).collect(), elbow }
}

fn labels(classes: Vec<u32>, names: &[&str]) -> Labels {
    Labels { classes, names: names.iter().map(|name| (*name).to_owned()).collect() }
}

/// A picture that was read: its width and its height, and the bytes of a pixel.
struct Pixels {
    size: (u32, u32),
    bytes: Vec<u8>,
}

impl Pixels {
    fn read(file: &[u8]) -> Self {
        let mut reader = png::Decoder::new(std::io::Cursor::new(file)).read_info().unwrap();
        let mut bytes = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut bytes).unwrap();
        assert_eq!((info.color_type, info.bit_depth), (png::ColorType::Rgba, png::BitDepth::Eight));
        Self { size: (info.width, info.height), bytes }
    }

    /// Red, green, blue and opacity.
    fn at(&self, x: u32, y: u32) -> [u8; 4] {
        let start = (y * self.size.0 + x) as usize * 4;
        self.bytes[start..start + 4].try_into().unwrap()
    }
}

/// Both files can be read, and the SVG has no text that is markup.
fn check(figure: &Figure) {
    Pixels::read(&figure.png);
    if let Some(svg) = &figure.svg {
        assert!(!svg.contains("<script") && !svg.contains('\u{7}'), "{}", figure.name);
        for used in svg.split("url(#").skip(1).map(|rest| rest.split(')').next().unwrap()) {
            assert_eq!(svg.matches(&format!("id=\"{used}\"")).count(), 1, "{used}");
            assert!(used.starts_with(&figure.name), "{used}");
        }
    }
}

#[test]
fn hostile_names_stay_text() {
    let history = [record(1, 0.5, 0.3), record(2, 0.25, 0.2)];
    let classes = labels(vec![0, 1], &[HOSTILE, "one"]);
    let errors = [(HOSTILE.to_owned(), 8.11), ("deep".to_owned(), 9.0)];
    let beside_pca = [(HOSTILE.to_owned(), 8.11, Some(("PCA-32".to_owned(), 13.2)))];
    let names = vec![HOSTILE.to_owned(); 2];
    let curves = [curve("pca", &[(2, 9.0), (8, 2.0), (33, 1.0)], Some(8)), curve(HOSTILE, &[(2, 8.0)], None)];
    let figures = [
        curves::loss("loss", &history, HOSTILE, Some(0.1), Some(2)),
        curves::losses(HOSTILE, None, &[(HOSTILE, &history), ("deep", &history[..1])]),
        curves::error_rate(&history),
        curves::code_sizes(&curves),
        scatter::codes(&[0.0, 1.0], &[1.0, 0.0], [HOSTILE; 2], Some(&classes)),
        profiles::profiles(2, &[0.0, 1.0], &[1.0, 0.0], &names),
        bars::comparison(&errors),
        bars::error_rates(&errors),
        bars::beside_pca(&beside_pca),
        bars::spectrum(&[0.9246, 0.0531, 0.0171]),
        confusion::confusion(&names, &[vec![5, 1], vec![0, 4]]),
    ];
    for figure in figures {
        check(&figure.unwrap());
    }
}

#[test]
fn numbers_that_cannot_be_drawn_are_left_out() {
    let history = strange_history();
    for floor in STRANGE {
        check(&curves::loss("loss", &history, "x", Some(floor), Some(3)).unwrap());
        curves::losses("x", Some(floor), &[("", &history)]).iter().for_each(check);
    }
    check(&curves::error_rate(&history).unwrap());
    let points: Vec<(usize, f64)> = STRANGE.into_iter().enumerate().collect();
    check(&curves::code_sizes(&[curve("", &points, Some(99))]).unwrap());
    let values = STRANGE.map(|value| value as f32);
    let reversed: Vec<f32> = values.iter().rev().copied().collect();
    // Classes beyond the names, and fewer than there are rows.
    scatter::codes(&values, &reversed, ["a", "b"], Some(&labels(vec![7; 4], &[""]))).iter().for_each(check);
    check(&profiles::profiles(9, &values, &values, &[]).unwrap());
    let errors = STRANGE.map(|error| ("method".to_owned(), error));
    let chart = bars::comparison(&errors).unwrap();
    assert!(chart.caption.contains("Not drawn, as not finite: 4."), "{}", chart.caption);
    check(&chart);
    let beside_pca = STRANGE.map(|error| (String::new(), error, Some((String::new(), -error))));
    check(&bars::beside_pca(&beside_pca).unwrap());
    check(&bars::spectrum(&STRANGE).unwrap());
    let shape = Shape::image(3, 3, 1);
    check(&pictures::reconstructions(shape, &values, None, &values).unwrap());
    let weights = Weights { shape, images: &values, count: 1, called: ["unit", "units"], what: "" };
    check(&pictures::weights("weights", &weights, TILE_SIDE).unwrap());

    let unknown = [record(1, f64::NAN, f64::NAN)];
    assert!(curves::loss("loss", &unknown, "x", None, None).is_none());
    assert!(scatter::codes(&[f32::NAN; 3], &[0.0; 3], ["a", "b"], None).is_none());
    assert!(bars::comparison(&[("this model".into(), f64::NAN)]).is_none());
}

#[test]
fn without_numbers_there_is_no_figure() {
    assert!(curves::loss("loss", &[], "x", Some(0.1), None).is_none());
    assert!(curves::error_rate(&[]).is_none() && curves::losses("x", None, &[]).is_none());
    assert!(curves::code_sizes(&[]).is_none());
    assert!(scatter::codes(&[1.0], &[], ["a", "b"], None).is_none());
    assert!(bars::comparison(&[]).is_none() && bars::error_rates(&[]).is_none());
    assert!(bars::beside_pca(&[]).is_none() && bars::spectrum(&[]).is_none());
    assert!(confusion::confusion(&[], &[]).is_none());
    assert!(profiles::profiles(3, &[1.0, 2.0], &[1.0, 2.0], &[]).is_none());
    for shape in [Shape::flat(0), Shape::image(2, 0, 1), Shape::image(2, 3, 0), Shape::image(2, 3, 1)] {
        assert!(pictures::reconstructions(shape, &[0.5; 5], None, &[0.5; 5]).is_none());
        assert!(pictures::grid(shape, &[0.5; 5], 2, pictures::UNIT).is_none());
    }
    let flat = Weights { shape: Shape::flat(4), images: &[1.0; 8], count: 2, called: ["", ""], what: "" };
    assert!(pictures::weights("weights", &flat, TILE_SIDE).is_none());
}

#[test]
fn one_of_everything_is_drawn() {
    check(&curves::loss("loss", &[record(1, 0.5, 0.5)], "x", None, None).unwrap());
    let constant = scatter::codes(&[3.0; 50], &[-2.0; 50], ["a", "b"], Some(&labels(vec![0; 50], &["only"])));
    check(&constant.unwrap());
    check(&bars::comparison(&[("this model".into(), 0.0)]).unwrap());
    check(&bars::spectrum(&[1.0]).unwrap());
    for features in [1, 3, 4, 30, 784] {
        let rows: Vec<f32> = (0..features * 5).map(|at| (at as f32).sin()).collect();
        let names = vec!["sepal length".to_owned(); features.min(4)];
        check(&profiles::profiles(features, &rows, &rows, &names).unwrap());
    }
}

#[test]
fn originals_stand_above_reconstructions_pixel_by_pixel() {
    let shape = Shape::image(2, 3, 1);
    let originals: Vec<f32> = (0..18).map(|at| at as f32 / 17.0).collect();
    let reconstructions: Vec<f32> = originals.iter().map(|value| 1.0 - value).collect();
    let figure = pictures::reconstructions(shape, &originals, None, &reconstructions).unwrap();
    let picture = Pixels::read(&figure.png);
    // 2 x 3 images enlarged 16 times, three beside each other, 8 between them.
    assert_eq!(picture.size, (3 * 48 + 2 * 8, 2 * 32 + 8));
    for (image, row, column) in [(0, 0, 0), (0, 1, 2), (1, 1, 1), (2, 1, 2)] {
        let value = originals[image * 6 + row * 3 + column];
        let left = image as u32 * 56 + column as u32 * 16;
        for (top, value) in [(0, value), (40, 1.0 - value)] {
            let grey = (value * 255.0).round() as u8;
            for corner in [0, 15] {
                let pixel = picture.at(left + corner, top + row as u32 * 16 + corner);
                assert_eq!(pixel, [grey, grey, grey, 255], "image {image}, row {row}, column {column}");
            }
        }
    }
    assert_eq!(picture.at(50, 0)[3], 0, "the gap is transparent");
}

#[test]
fn noisy_inputs_stand_in_the_middle_and_colours_stay() {
    let original = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0];
    let noisy = [0.0, 0.0, 1.0, 2.0, -1.0, 0.5];
    let shape = Shape::image(2, 1, 3);
    let figure = pictures::reconstructions(shape, &original, Some(&noisy), &original).unwrap();
    let picture = Pixels::read(&figure.png);
    assert_eq!(picture.size, (16, 3 * 32 + 16));
    let colours = [0, 16, 40, 56, 80, 96].map(|y| picture.at(0, y));
    let wanted = [[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 0, 128], [255, 0, 0], [0, 255, 0]];
    assert_eq!(colours, wanted.map(|[red, green, blue]| [red, green, blue, 255]));
    assert!(figure.caption.contains("Middle: what the model was given."));
}

#[test]
fn a_scatter_of_many_rows_is_thinned_evenly() {
    let codes: Vec<f32> = (0..10_000).map(|at| at as f32).collect();
    let classes = Labels {
        classes: (0..10_000).map(|at| at % 25).collect(),
        names: (0..25).map(|class| format!("class {class}")).collect(),
    };
    let figure = scatter::codes(&codes, &[1.0; 10_000], ["a", "b"], Some(&classes)).unwrap();
    let svg = figure.svg.unwrap();
    assert!(svg.len() < 400_000);
    assert!(figure.caption.contains("2,000 of 10,000 rows, evenly chosen"));
    assert!(!svg.contains("class 1"), "no legend of 25 classes");
}

#[test]
fn tiles_say_how_many_units_there_are() {
    let images: Vec<f32> = (0..24).map(|at| at as f32 - 12.0).collect();
    let shape = Shape::image(2, 3, 1);
    let caption = |count| {
        let weights = Weights { shape, images: &images, count, called: ["unit", "units"], what: "" };
        pictures::weights("weights", &weights, TILE_SIDE).unwrap().caption
    };
    assert!(caption(9).contains("The first 4 of 9 units") && caption(4).contains("All 4 units"));
    assert!(caption(4).contains("full colour at ±12"));
}
