//! Example reports from real data, for a human to look at: charts are judged by eye.

use std::fs;
use std::io::Read;

use super::tests::Sample;
use super::*;
use crate::progress::EpochRecord;

/// Writes example reports from real data for a human to look at: `REPORT_OUT=FOLDER cargo test -- --ignored looks`.
#[test]
#[ignore = "writes pictures for a human to look at"]
fn looks() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data");
    let out = PathBuf::from(std::env::var_os("REPORT_OUT").expect("REPORT_OUT names the folder to write to"));
    let unzip = |name: &str| {
        let mut bytes = Vec::new();
        flate2::read::GzDecoder::new(fs::File::open(data.join(name)).unwrap())
            .read_to_end(&mut bytes)
            .unwrap();
        bytes
    };
    let pixels: Vec<f32> =
        unzip("t10k-images-idx3-ubyte.gz")[16..].iter().map(|&byte| f32::from(byte) / 255.0).collect();
    let classes: Vec<u32> =
        unzip("t10k-labels-idx1-ubyte.gz")[8..].iter().map(|&byte| u32::from(byte)).collect();
    let rows = || pixels.chunks_exact(784);

    let mut sample = Sample::small();
    sample.shape = Shape::image(28, 28, 1);
    sample.originals = pixels[..7840].to_vec();
    // A blur stands in for a reconstruction.
    let blurred = |at: usize| [0, 1, 27, 28, 29].map(|step| pixels[at + step]).iter().sum::<f32>() / 5.0;
    sample.reconstructions = (0..7840).map(blurred).collect();
    // Half-plane sums of ink stand in for codes, differences of images for weights.
    let code = |row: &[f32], upright: bool| {
        let weigh =
            |(at, ink): (usize, &f32)| ink * (if upright { at / 28 } else { at % 28 } as f32 - 13.5) / 100.0;
        row.iter().enumerate().map(weigh).sum::<f32>()
    };
    sample.codes = [false, true].map(|upright| rows().map(|row| code(row, upright)).collect());
    sample.labels = Some(Labels { classes, names: (0..10).map(|digit| digit.to_string()).collect() });
    sample.weights = (0..784 * 32).map(|at| pixels[at] - pixels[at + 784]).collect();
    sample.history = (1..=50)
        .map(|epoch| {
            let loss = 0.093 + 0.18 / f64::from(epoch);
            EpochRecord {
                seconds: 1.0,
                active_units: None,
                held_out_error_rate: None,
                epoch: epoch as usize,
                train_loss: loss,
                held_out_loss: (loss - 0.001 + 0.002 * f64::from(epoch).sin()),
            }
        })
        .collect();
    sample.floor = Some(0.05808);
    sample.comparison.insert(2, ("linear-32".into(), 13.1933));
    let figures = [
        ("Test BCE", "0.0941"),
        ("Test MSE", "0.0103"),
        ("Squared error per row", "8.08"),
        ("Explained variance", "84.7 %"),
        ("BCE floor", "0.0581"),
        ("Code size", "32"),
        ("Parameters", "50,992"),
        ("Dead units", "0 of 32"),
        ("Training time", "41.2 s"),
    ];
    sample.facts = figures.map(|(name, value)| (name.into(), value.into())).into();
    sample.layers = LayerTable {
        header: ["Layer", "Output", "Parameters"].map(String::from).into(),
        rows: [
            ["input", "28x28x1", "0"],
            ["dense 32 relu", "32", "25,120"],
            ["dense 784 sigmoid", "28x28x1", "25,872"],
        ]
        .map(|row| row.map(String::from).into())
        .into(),
    };
    let mut contents = sample.contents();
    contents.verdict =
        "Better than PCA-32 by 38.8 %: 8.08 against 13.2 squared error per row on 10,000 held-out rows.";
    contents.spectrum = None;
    contents.recipe = "method  = \"autoencoder\"\nscale   = \"unit\"\nencoder = [{ dense = 32 }, \"relu\"]\ndecoder = [{ dense = \"input\" }, \"sigmoid\"]\nloss    = \"bce\"\ntrain   = { optimizer = \"adadelta\", rate = 1.0, epochs = 50, batch = 128, seed = 0 }\n";
    write(&out.join("mnist"), &contents).unwrap();

    let table = fs::read_to_string(data.join("iris.csv")).unwrap();
    let cells: Vec<Vec<f32>> = table
        .lines()
        .skip(1)
        .map(|line| line.split(',').map(|cell| cell.parse().unwrap()).collect())
        .collect();
    let mut sample = Sample::small();
    sample.shape = Shape::flat(4);
    sample.originals = cells.iter().step_by(15).flat_map(|row| row[..4].to_vec()).collect();
    sample.reconstructions =
        sample.originals.iter().enumerate().map(|(at, value)| value + 0.15 * (at as f32).sin()).collect();
    sample.names = ["sepal length (cm)", "sepal width (cm)", "petal length (cm)", "petal width (cm)"]
        .map(String::from)
        .into();
    sample.codes = [0, 2].map(|column| cells.iter().map(|row| row[column] - 0.4 * row[1]).collect());
    sample.labels = Some(Labels {
        classes: cells.iter().map(|row| row[4] as u32).collect(),
        names: ["setosa", "versicolor", "virginica"].map(String::from).into(),
    });
    sample.spectrum = vec![0.92461872, 0.05306648, 0.01710261, 0.00521218];
    sample.comparison = vec![
        ("mean".into(), 4.57),
        ("PCA-2".into(), 0.101),
        ("linear-2".into(), 0.101),
        ("this model".into(), 0.101),
    ];
    let mut contents = sample.contents();
    (contents.title, contents.verdict) = ("pca on iris", "PCA-2 explains 97.8 % of the variance.");
    contents.history = &[];
    contents.codes.as_mut().unwrap().axes = ["component 1 (92.5 %)", "component 2 (5.3 %)"];
    write(&out.join("iris"), &contents).unwrap();

    // Corners: many classes, one epoch, a long logarithmic curve, many features and components.
    let mut sample = Sample::small();
    sample.shape = Shape::flat(256);
    sample.originals = (0..256 * 4).map(|at| (at as f32 / 20.0).sin() * (at / 256 + 1) as f32).collect();
    sample.reconstructions = sample.originals.iter().map(|value| value * 0.9).collect();
    sample.history = (1..=400)
        .map(|epoch| EpochRecord {
            seconds: 1.0,
            active_units: None,
            held_out_error_rate: None,
            epoch,
            train_loss: 30.0 / (epoch * epoch) as f64 + 0.01,
            held_out_loss: f64::NAN,
        })
        .collect();
    sample.floor = None;
    sample.spectrum = (0..300).map(|at| 0.05 * 0.95f64.powi(at)).collect();
    sample.codes =
        [rows().map(|row| code(row, false)).collect(), rows().map(|row| code(row, true)).collect()];
    sample.labels = Some(Labels {
        classes: (0..10_000).map(|at| at * 7 % 15).collect(),
        names: (0..15).map(|class| format!("species {class}")).collect(),
    });
    write(&out.join("corners"), &sample.contents()).unwrap();

    sample.shape = Shape::flat(13);
    sample.originals = (0..13 * 4).map(|at| (at as f32).sin() * 10f32.powi(at % 13 % 4)).collect();
    sample.reconstructions = sample.originals.iter().map(|value| value * 0.9).collect();
    sample.history.truncate(1);
    sample.labels = None;
    sample.comparison =
        vec![("a method with a rather long name indeed".into(), 1e9), ("this model".into(), 0.001)];
    write(&out.join("more"), &sample.contents()).unwrap();
}
