use std::collections::BTreeMap;
use std::fs;

use super::*;
use narrows::base::text::{figure_text, short_text};
use narrows::progress::EpochRecord;

/// Everything a test may want to change; `contents` borrows from it.
pub(super) struct Sample {
    pub(super) facts: Vec<(String, String)>,
    pub(super) layers: LayerTable,
    pub(super) comparison: Vec<(String, f64)>,
    pub(super) history: Vec<EpochRecord>,
    pub(super) floor: Option<f64>,
    pub(super) shape: Shape,
    pub(super) originals: Vec<f32>,
    pub(super) reconstructions: Vec<f32>,
    pub(super) names: Vec<String>,
    pub(super) codes: [Vec<f32>; 2],
    pub(super) labels: Option<Labels>,
    pub(super) weights: Vec<f32>,
    pub(super) spectrum: Vec<f64>,
}

impl Sample {
    /// Three images of 2 x 3, two epochs, two classes.
    pub(super) fn small() -> Self {
        let originals: Vec<f32> = (0..18).map(|at| at as f32 / 17.0).collect();
        Self {
            facts: vec![("Test BCE".into(), "0.0941".into())],
            layers: LayerTable { header: vec!["Layer".into()], rows: vec![vec!["dense 32".into()]] },
            comparison: vec![("mean".into(), 52.9), ("PCA-32".into(), 13.2), ("this model".into(), 9.1)],
            history: [1, 2]
                .map(|epoch| EpochRecord {
                    seconds: 1.0,
                    active_units: None,
                    held_out_error_rate: None,
                    epoch,
                    train_loss: 0.5 / epoch as f64,
                    held_out_loss: (0.3),
                })
                .into(),
            floor: Some(0.058),
            shape: Shape::image(2, 3, 1),
            reconstructions: originals.iter().map(|value| 1.0 - value).collect(),
            originals,
            names: Vec::new(),
            codes: [vec![0.0, 1.0, 2.0], vec![5.0, 4.0, 3.0]],
            labels: Some(Labels { classes: vec![0, 1, 0], names: vec!["zero".into(), "one".into()] }),
            weights: (0..24).map(|at| at as f32 - 12.0).collect(),
            spectrum: vec![0.9246, 0.0531, 0.0171],
        }
    }

    pub(super) fn contents(&self) -> Contents<'_> {
        Contents {
            title: "single on mnist",
            verdict: "better than PCA-32 by 22 %",
            facts: &self.facts,
            layers: &self.layers,
            comparison: &self.comparison,
            history: &self.history,
            kept_epoch: Some(2),
            loss_name: "BCE",
            loss_floor: self.floor,
            examples: Some(Examples {
                shape: self.shape,
                originals: &self.originals,
                corrupted: None,
                reconstructions: &self.reconstructions,
                low: 0.0,
                high: 1.0,
                feature_names: &self.names,
            }),
            codes: Some(CodeScatter {
                first: &self.codes[0],
                second: &self.codes[1],
                axes: ["code 1", "code 2"],
                labels: self.labels.as_ref(),
            }),
            weights: Some(WeightImages {
                called: ["code unit", "code units"],
                shape: self.shape,
                images: &self.weights,
            }),
            decoded: Some(DecodedCodes {
                shape: self.shape,
                images: &self.weights,
                columns: 2,
                what: "Codes on a grid.",
                low: 0.0,
                high: 1.0,
            }),
            spectrum: Some(&self.spectrum),
            starts: None,
            pretraining: &[],
            recipe: "method = \"autoencoder\"",
        }
    }

    fn written(&self) -> BTreeMap<String, Vec<u8>> {
        written(&self.contents())
    }
}

fn written(contents: &Contents) -> BTreeMap<String, Vec<u8>> {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("run");
    let paths = write(&directory, contents).unwrap();
    assert_eq!(paths[0], directory.join("report.html"));
    assert_eq!(fs::read_dir(&directory).unwrap().count(), paths.len());
    paths
        .iter()
        .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(path).unwrap()))
        .collect()
}

fn page(files: &BTreeMap<String, Vec<u8>>) -> String {
    String::from_utf8(files["report.html"].clone()).unwrap()
}

#[test]
fn writes_every_part_and_the_same_bytes_twice() {
    let sample = Sample::small();
    let files = sample.written();
    let names: Vec<&str> = files.keys().map(String::as_str).collect();
    let expected = [
        "codes.png",
        "codes.svg",
        "comparison.png",
        "comparison.svg",
        "decoded.png",
        "loss.png",
        "loss.svg",
        "reconstructions.png",
        "report.html",
        "spectrum.png",
        "spectrum.svg",
        "weights.png",
    ];
    assert_eq!(names, expected);
    for (name, bytes) in sample.written() {
        assert!(files[&name] == bytes, "{name} differs");
    }
    for (name, bytes) in &files {
        if name.ends_with(".png") {
            image::load_from_memory(bytes).unwrap();
        }
    }
    let page = page(&files);
    let plain =
        page.replace("xmlns=\"http://www.w3.org/2000/svg\"", "").replace("src=\"data:image/png;base64,", "");
    for outside in ["http", "src=", "href", "@import", "<script", "<link"] {
        assert!(!plain.contains(outside), "{outside}");
    }
    // Every clip area that a chart names is defined once on the page.
    for used in page.split("url(#").skip(1).map(|rest| rest.split(')').next().unwrap()) {
        assert_eq!(page.matches(&format!("id=\"{used}\"")).count(), 1, "{used}");
    }
    let order = [
        "<h1>",
        "class=\"verdict\"",
        ">Reconstructions<",
        ">Numbers<",
        ">Comparison<",
        ">Loss<",
        ">Spectrum<",
        ">Codes<",
        ">Weights<",
        ">Layers<",
        ">Recipe<",
    ];
    let at: Vec<usize> =
        order.iter().map(|mark| page.find(mark).unwrap_or_else(|| panic!("{mark}"))).collect();
    assert!(at.is_sorted(), "{at:?}");
}

#[test]
fn originals_stand_above_reconstructions_pixel_by_pixel() {
    let sample = Sample::small();
    let picture = image::load_from_memory(&sample.written()["reconstructions.png"]).unwrap().into_rgba8();
    // 2 x 3 images enlarged 16 times, three beside each other, 8 between them.
    assert_eq!(picture.dimensions(), (3 * 48 + 2 * 8, 2 * 32 + 8));
    for (image, row, column) in [(0, 0, 0), (0, 1, 2), (1, 1, 1), (2, 1, 2)] {
        let value = sample.originals[image * 6 + row * 3 + column];
        let left = image as u32 * 56 + column as u32 * 16;
        for (top, value) in [(0, value), (40, 1.0 - value)] {
            let grey = (value * 255.0).round() as u8;
            for corner in [0, 15] {
                let pixel = picture.get_pixel(left + corner, top + row as u32 * 16 + corner);
                assert_eq!(pixel.0, [grey, grey, grey, 255], "image {image}, row {row}, column {column}");
            }
        }
    }
    assert_eq!(picture.get_pixel(50, 0).0[3], 0, "the gap is transparent");
}

#[test]
fn noisy_inputs_stand_in_the_middle_and_colours_stay() {
    let sample = Sample::small();
    let mut contents = sample.contents();
    let original = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0];
    let noisy = [0.0, 0.0, 1.0, 2.0, -1.0, 0.5];
    contents.examples = Some(Examples {
        shape: Shape::image(2, 1, 3),
        originals: &original,
        corrupted: Some(&noisy),
        reconstructions: &original,
        low: 0.0,
        high: 1.0,
        feature_names: &[],
    });
    let files = written(&contents);
    let picture = image::load_from_memory(&files["reconstructions.png"]).unwrap().into_rgb8();
    assert_eq!(picture.dimensions(), (16, 3 * 32 + 16));
    let colours = [0, 16, 40, 56, 80, 96].map(|y| picture.get_pixel(0, y).0);
    assert_eq!(colours, [[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 0, 128], [255, 0, 0], [0, 255, 0]]);
    assert!(page(&files).contains("Middle: what the model was given."));
}

#[test]
fn the_page_escapes_text_and_refers_to_nothing_outside() {
    let mut sample = Sample::small();
    let hostile = "<script src=\"http://evil\">&'\u{7}";
    sample.facts[0] = (hostile.into(), hostile.into());
    sample.comparison[0].0 = hostile.into();
    sample.layers.header[0] = hostile.into();
    sample.layers.rows[0][0] = hostile.into();
    sample.labels.as_mut().unwrap().names[0] = hostile.into();
    let mut contents = sample.contents();
    (contents.title, contents.verdict, contents.recipe, contents.loss_name) =
        (hostile, hostile, hostile, hostile);
    contents.codes.as_mut().unwrap().axes = [hostile; 2];
    let files = written(&contents);
    let page = page(&files);

    assert!(page.contains("<title>&lt;script src=&quot;http://evil&quot;&gt;&amp;&#39;\u{fffd}</title>"));
    assert!(!page.contains("<script") && !page.contains('\u{7}'));
    // Between tags text may say anything; inside a tag nothing may point outside.
    for tag in page.split('<').skip(1).map(|rest| rest.split('>').next().unwrap()) {
        let tag = tag.replace("xmlns=\"http://www.w3.org/2000/svg\"", "");
        assert!(
            !["link", "iframe", "object", "a ", "script"].iter().any(|name| tag.starts_with(name)),
            "{tag}"
        );
        assert!(!tag.contains("href=") && !tag.replace("url(#", "").contains("url("), "{tag}");
        assert!(
            !tag.contains("src=")
                || tag.contains(" src=\"data:image/png;base64,")
                || tag.contains("&lt;script src=&quot;")
        );
        assert!(!tag.contains("http") || tag.contains("&lt;script"), "{tag}");
    }
    assert!(!page::render(&Sample::small().contents(), &mut Vec::new()).contains("http"));
    for (name, bytes) in files.iter().filter(|(name, _)| name.ends_with(".svg")) {
        let text = std::str::from_utf8(bytes).unwrap();
        assert!(!text.contains("<script") && !text.contains('\u{7}'), "{name}");
    }
}

#[test]
fn each_layer_trained_alone_has_a_section_with_its_curve_and_its_units() {
    let sample = Sample::small();
    let facts = vec![("Dead units".to_owned(), "3 of 9 <b>".to_owned())];
    let filters = WeightImages { called: ["unit", "units"], shape: sample.shape, images: &sample.weights };
    let first = LayerAlone {
        widths: (6, 9),
        facts: &facts,
        history: &sample.history,
        kept_epoch: Some(1),
        loss_name: "BCE",
        filters: Some(filters),
    };
    // One epoch only, and units that are not drawn.
    let second = LayerAlone { widths: (9, 4), history: &sample.history[..1], kept_epoch: None, ..first };
    let third = LayerAlone { widths: (4, 1), facts: &[], history: &[], filters: None, ..first };
    let mut contents = sample.contents();
    let layers = [first, second, third];
    contents.pretraining = &layers;
    let files = written(&contents);
    let names: Vec<&str> =
        files.keys().map(String::as_str).filter(|name| name.starts_with("layer-")).collect();
    let expected = ["1-loss.png", "1-loss.svg", "1-weights.png", "2-loss.png", "2-loss.svg", "2-weights.png"];
    assert_eq!(names, expected.map(|name| format!("layer-{name}")));
    let page = page(&files);
    let [before, one, two, three] = page.split("<h2>Layer ").collect::<Vec<_>>()[..] else {
        panic!("three sections")
    };
    assert!(before.contains(">Layers<") && three.contains(">Recipe<"), "after the table of layers");
    let starts = ["1 alone: 6-9<", "2 alone: 9-4<", "3 alone: 4-1<"];
    for (section, start) in [one, two, three].into_iter().zip(starts) {
        assert!(section.starts_with(start), "{section}");
    }
    assert!(one.contains("<dd>3 of 9 &lt;b&gt;</dd>") && one.contains("epoch 1, the best"));
    // 24 numbers are four units of 2 x 3.
    assert!(one.contains("The first 4 of 9 units") && !one.contains("Lee et al."));
    assert!(two.contains("All 4 units") && two.contains("the images of layer 1, weighted"));
    assert!(two.contains("train 0.5, validation 0.3") && !two.contains("upright line"));
    assert!(!three.split(">Recipe<").next().unwrap().contains("<figure"), "nothing to draw");
    // What a chart cuts out has a name of its own.
    for used in page.split("url(#").skip(1).map(|rest| rest.split(')').next().unwrap()) {
        assert_eq!(page.matches(&format!("id=\"{used}\"")).count(), 1, "{used}");
    }
    let dots = |name: &str| std::str::from_utf8(&files[name]).unwrap().matches("<circle").count();
    assert!(dots("layer-2-loss.svg") > 2, "one epoch is drawn as dots, in the legend too");
}

#[test]
fn flat_rows_get_a_chart_and_no_weight_images() {
    for features in [1, 3, 4, 30, 784] {
        let mut sample = Sample::small();
        sample.shape = Shape::flat(features);
        sample.originals = (0..features * 5).map(|at| (at as f32).sin()).collect();
        sample.reconstructions = (0..features * 5).map(|at| (at as f32).cos()).collect();
        sample.names = vec!["sepal length".into(); features.min(4)];
        let files = sample.written();
        assert!(
            files.contains_key("reconstructions.svg") && !files.contains_key("weights.png"),
            "{features}"
        );
    }
    let mut sample = Sample::small();
    sample.shape = Shape::image(1, 1, 3);
    assert!(sample.written().contains_key("reconstructions.svg"));
}

#[test]
fn what_is_empty_is_left_out() {
    let layers = LayerTable::default();
    let contents = Contents {
        title: "",
        verdict: "",
        facts: &[],
        layers: &layers,
        comparison: &[],
        history: &[],
        kept_epoch: None,
        loss_name: "",
        loss_floor: Some(0.1),
        examples: None,
        codes: None,
        weights: None,
        decoded: None,
        spectrum: Some(&[]),
        starts: None,
        pretraining: &[],
        recipe: "",
    };
    assert_eq!(written(&contents).keys().collect::<Vec<_>>(), ["report.html"]);

    // Shapes of nothing come from no file, but the fields are public.
    let mut sample = Sample::small();
    for shape in [Shape::flat(0), Shape::image(2, 0, 1), Shape::image(2, 3, 0)] {
        sample.shape = shape;
        assert!(!sample.written().contains_key("reconstructions.png"));
    }

    let mut sample = Sample::small();
    sample.originals.truncate(5);
    sample.codes[1].clear();
    sample.weights.clear();
    let files = sample.written();
    for missing in ["reconstructions.png", "codes.png", "weights.png"] {
        assert!(!files.contains_key(missing), "{missing}");
    }
}

#[test]
fn the_smallest_and_the_strangest_do_not_panic() {
    let mut one = Sample::small();
    one.history.truncate(1);
    one.originals.truncate(6);
    one.codes = [vec![3.0; 50], vec![-2.0; 50]];
    one.labels = Some(Labels { classes: vec![0; 50], names: vec!["only".into()] });
    one.comparison = vec![("this model".into(), 0.0)];
    one.spectrum = vec![1.0];
    one.weights = vec![0.0; 6];
    one.floor = None;
    assert_eq!(one.written().len(), 12);

    let strange =
        [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, f64::MIN_POSITIVE, -0.0, 1e-320, 1e99, -1e99];
    let mut sample = Sample::small();
    sample.shape = Shape::image(3, 3, 1);
    sample.originals = strange.map(|value| value as f32).repeat(2);
    sample.reconstructions = sample.originals.clone();
    sample.weights = sample.originals.clone();
    sample.codes = [sample.originals.clone(), sample.originals.iter().rev().copied().collect()];
    // Classes past the names, and fewer than there are rows.
    sample.labels = Some(Labels { classes: vec![7; 4], names: vec![String::new()] });
    sample.history = strange
        .iter()
        .enumerate()
        .map(|(epoch, &value)| EpochRecord {
            seconds: 1.0,
            active_units: None,
            held_out_error_rate: None,
            epoch,
            train_loss: value,
            held_out_loss: (-value),
        })
        .collect();
    sample.comparison = strange.map(|value| ("method".to_owned(), value)).into();
    sample.spectrum = strange.into();
    for floor in strange {
        sample.floor = Some(floor);
        sample.written();
    }
    sample.shape = Shape::flat(9);
    sample.written();

    sample.history = vec![EpochRecord {
        seconds: 1.0,
        active_units: None,
        held_out_error_rate: None,
        epoch: 1,
        train_loss: f64::NAN,
        held_out_loss: f64::NAN,
    }];
    sample.codes = [vec![f32::NAN; 3], vec![0.0; 3]];
    sample.comparison = vec![("this model".into(), f64::NAN)];
    let files = sample.written();
    for missing in ["loss.svg", "codes.svg", "comparison.svg"] {
        assert!(!files.contains_key(missing), "{missing}");
    }
}

#[test]
fn a_scatter_of_many_rows_is_thinned_evenly() {
    let mut sample = Sample::small();
    sample.codes = [(0..10_000).map(|at| at as f32).collect(), vec![1.0; 10_000]];
    sample.labels = Some(Labels {
        classes: (0..10_000).map(|at| at % 25).collect(),
        names: (0..25).map(|class| format!("class {class}")).collect(),
    });
    let files = sample.written();
    assert!(files["codes.svg"].len() < 400_000);
    assert!(page(&files).contains("2,000 of 10,000 rows, evenly chosen"));
    assert!(!String::from_utf8_lossy(&files["codes.svg"]).contains("class 1"), "no legend of 25 classes");
}

#[test]
#[allow(clippy::disallowed_methods)]
fn says_which_path_cannot_be_written() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a-file");
    fs::write(&file, "").unwrap();
    let error = write(&file, &Sample::small().contents()).unwrap_err();
    assert!(error.to_string().contains("a-file"), "{error}");
}

#[test]
fn numbers_read_well() {
    let texts = [0.0941, 52.725, 9.1, 0.0, 1234567.0, 104.0, 0.00001234, -13.1933, 99999.6, f64::NAN];
    let texts = texts.map(figure_text);
    assert_eq!(
        texts,
        ["0.0941", "52.73", "9.1", "0", "1.23e6", "104", "1.23e-5", "-13.19", "100000", "not finite"]
    );
    assert_eq!(short_text("abcdef", 4), "abc…");
    assert_eq!(short_text("a\u{0}b", 4), "a\u{fffd}b");
}
