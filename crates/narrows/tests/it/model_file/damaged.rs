//! Damaged and foreign files, and files that make no sense: refused, with the reason.

use std::collections::HashMap;

use safetensors::tensor::Dtype;

use super::parts::Parts;
use super::*;

#[track_caller]
pub fn refused(bytes: &[u8], parts: &[&str]) {
    let error = Model::from_bytes(bytes).expect_err("a file that must be refused");
    assert_eq!(error.kind(), narrows::ErrorKind::Model);
    let message = error.to_string();
    assert!(!message.is_empty() && !message.contains('\n'), "one line: {message}");
    for part in parts {
        assert!(message.contains(part), "`{part}` is not in: {message}");
    }
}

#[test]
fn no_prefix_of_a_file_is_a_file() {
    for name in GOLDEN {
        let bytes = golden_bytes(name);
        for len in 0..bytes.len() {
            refused(&bytes[..len], &[]);
        }
        let longer = [&bytes[..], &[0]].concat();
        refused(&longer, &[]);
    }
}

#[test]
fn every_flipped_bit_is_noticed() {
    for name in GOLDEN {
        let mut bytes = golden_bytes(name);
        for at in 0..bytes.len() {
            for bit in 0..8 {
                bytes[at] ^= 1 << bit;
                match Model::from_bytes(&bytes) {
                    Ok(_) => panic!("{name}: bit {bit} of byte {at} can be flipped unnoticed"),
                    Err(error) => assert!(!error.to_string().contains('\n'), "{error}"),
                }
                bytes[at] ^= 1 << bit;
            }
        }
        assert_eq!(bytes, golden_bytes(name));
    }
}

#[test]
fn other_files_are_refused() {
    refused(b"", &["not a Narrows model"]);
    refused(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0\x1f\x15\xc4\x89", &[]);
    refused(b"sepal,petal\n1,2\n3,4\n", &[]);
    refused(&[0xff; 4096], &[]);
    refused(&[0; 4096], &[]);
    // A header said to be as long as memory, or one byte longer than the file.
    for len in [u64::MAX, u64::MAX / 2, 1 << 40, 100_000_001, 9] {
        let mut bytes = len.to_le_bytes().to_vec();
        bytes.extend(b"{}      ");
        refused(&bytes, &[]);
    }
    let parts = Parts::of(&golden_bytes(GOLDEN[0]));
    refused(&parts.bytes_with(None), &["not a Narrows model"]);
    refused(
        &parts.bytes_with(Some(HashMap::from([("format".into(), "pt".into())]))),
        &["not a Narrows model"],
    );
    for text in
        ["", "{}", "[]", "null", "{\"version\":\"1\"}", "{\"version\":-1}", "{\"version\":1}", "not json"]
    {
        refused(&parts.bytes_with(Some(HashMap::from([("narrows".into(), text.into())]))), &["damaged"]);
    }
    let unsigned = parts.metadata().replace(&parts.hash(), &"0".repeat(64));
    refused(&parts.bytes_with(Some(HashMap::from([("narrows".into(), unsigned)]))), &["damaged", "hash"]);
    for version in ["0", "7", "18446744073709551615"] {
        let other = Parts { version: version.into(), ..parts.clone() };
        refused(&other.bytes(), &["format version", version, "reads versions 1 to 6"]);
    }
}

#[test]
fn signed_files_with_wrong_tensors_are_refused_by_the_tensors_name() {
    for name in GOLDEN {
        let whole = Parts::of(&golden_bytes(name));
        Model::from_bytes(&whole.bytes()).unwrap();
        for at in 0..whole.tensors.len() {
            let tensor = whole.tensors[at].0.clone();
            let changed = |change: &dyn Fn(&mut Parts)| {
                let mut parts = whole.clone();
                change(&mut parts);
                parts.bytes()
            };
            let missing = changed(&|parts| drop(parts.tensors.remove(at)));
            // Without its spectrum a PCA has no size; the message says so instead.
            let size = tensor == "pca.explained_variance";
            refused(&missing, &[if size { "number of components" } else { &tensor }]);
            refused(
                &changed(&|parts| parts.tensors[at].0 += "s"),
                &[if size { "number of components" } else { &tensor }],
            );
            let wrong_type = changed(&|parts| {
                let (_, dtype, shape, bytes) = &mut parts.tensors[at];
                let count: usize = shape.iter().product();
                (*dtype, *bytes) = match dtype {
                    Dtype::F32 => (Dtype::F64, vec![0; count * 8]),
                    _ => (Dtype::F32, vec![0; count * 4]),
                };
            });
            refused(&wrong_type, &[&tensor, "F32", "F64"]);
            let wrong_shape = changed(&|parts| parts.tensors[at].2.insert(0, 1));
            refused(&wrong_shape, &[&tensor]);
            for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
                let not_finite = changed(&|parts| {
                    let (_, dtype, _, bytes) = &mut parts.tensors[at];
                    let end = bytes.len();
                    match dtype {
                        Dtype::F32 => bytes[end - 4..].copy_from_slice(&(bad as f32).to_le_bytes()),
                        _ => bytes[end - 8..].copy_from_slice(&bad.to_le_bytes()),
                    }
                });
                refused(&not_finite, &[&tensor, "not finite"]);
            }
        }
        let mut extra = whole.clone();
        extra.tensors.push(("zebra".into(), Dtype::F32, vec![1], vec![0; 4]));
        refused(&extra.bytes(), &["zebra", "no place"]);
    }
    // A row more or less.
    let mut parts = Parts::of(&golden_bytes(GOLDEN[1]));
    let (_, _, shape, bytes) = parts.at("encoder.1.weights");
    shape[0] = 3;
    bytes.truncate(36);
    refused(&parts.bytes(), &["encoder.1.weights", "[3, 3]", "[4, 3]"]);
    // A column scaled by nothing.
    let mut parts = Parts::of(&golden_bytes(GOLDEN[1]));
    parts.at("scaling.scales").3[..8].fill(0);
    refused(&parts.bytes(), &["scale of 0"]);
}

#[test]
fn signed_files_with_a_senseless_description_are_refused() {
    let changed = |name: &str, from: &str, to: &str| {
        let mut parts = Parts::of(&golden_bytes(name));
        assert!(parts.model.contains(from), "{from} is not in {}", parts.model);
        parts.model = parts.model.replacen(from, to, 1);
        parts.bytes()
    };
    let network = |from: &str, to: &str| changed(GOLDEN[1], from, to);
    refused(&network(r#""dense":3"#, r#""dense":4294967295"#), &["encoder[0]", "too many"]);
    refused(&network(r#""dense":3"#, r#""dense":100000000"#), &["encoder.1", "100000000"]);
    refused(&network(r#""dense":3"#, r#""dense":0"#), &["description"]);
    refused(&network(r#""dense":3"#, r#""dense":5"#), &["encoder.1", "[4, 5]"]);
    refused(&network(r#"{"dense":3}"#, r#"{"dense":3},"batch_norm""#), &["batch_norm, which no model has"]);
    refused(&network(r#""width":4"#, r#""width":0"#), &["shape"]);
    refused(&network(r#""width":4"#, r#""width":18446744073709551615"#), &["shape"]);
    refused(&network(r#""height":1"#, r#""height":4294967295"#), &["shape"]);
    refused(&network(r#""width":4"#, r#""width":5"#), &["tensor"]);
    refused(&network(r#""batch":16"#, r#""batch":0"#), &["train.batch_size"]);
    refused(&network(r#""loss":"bce""#, r#""loss":"hinge""#), &["hinge"]);
    refused(&network(r#""shape""#, r#""shade""#), &["description"]);
    let pca = |from: &str, to: &str| changed(GOLDEN[0], from, to);
    refused(&pca(r#""rows":150"#, r#""rows":1"#), &["components or rows"]);
    refused(&pca(r#""pca":{"#, r#""pcb":{"#), &["pcb"]);
    refused(&pca(r#""method":"pca""#, r#""method":"ica""#), &["ica"]);
}

/// What the hash does not cover, because it is no part of the model: the file would not be one that a program writes.
#[test]
fn files_that_no_writer_writes_are_refused() {
    let whole = Parts::of(&golden_bytes(GOLDEN[1]));
    let envelope = |change: &dyn Fn(String) -> String| {
        whole.bytes_with(Some(HashMap::from([("narrows".to_owned(), change(whole.metadata()))])))
    };
    assert!(Model::from_bytes(&envelope(&|text| text)).is_ok());
    refused(&envelope(&|text| text.replacen('{', r#"{"note":1,"#, 1)), &["damaged"]);
    refused(&envelope(&|text| text.replacen('{', r#"{"version":1,"#, 1)), &["damaged"]);
    let other = HashMap::from([
        ("narrows".to_owned(), whole.metadata()),
        ("author".to_owned(), "somebody".to_owned()),
    ]);
    refused(&whole.bytes_with(Some(other)), &["metadata entry `author`"]);

    // A tensor that is named twice: both entries say where the same numbers lie.
    let bytes = whole.bytes();
    let end = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header = String::from_utf8(bytes[8..end].to_vec()).unwrap();
    let with_header = |header: String| {
        [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &bytes[end..]].concat()
    };
    assert!(Model::from_bytes(&with_header(header.clone())).is_ok());
    let start = header.find(r#""encoder.1.bias":"#).unwrap();
    let entry = &header[start..=start + header[start..].find('}').unwrap()];
    let twice = header.replacen(entry, &format!("{entry},{entry}"), 1);
    refused(&with_header(twice), &["`encoder.1.bias` is named twice"]);
    refused(&with_header(header.replacen(r#""dtype""#, r#""kind":"x","dtype""#, 1)), &["header"]);
    let entry = |n: usize| format!(r#""t{n}":{{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}"#);
    let many = (0..20_000).map(entry).collect::<Vec<_>>().join(",");
    refused(&with_header(format!("{{{many}}}")), &["more than 10000 tensors"]);

    let with_model = |name: &str, from: &str, to: &str| {
        let mut parts = Parts::of(&golden_bytes(name));
        assert!(parts.model.contains(from), "{}", parts.model);
        parts.model = parts.model.replacen(from, to, 1);
        parts.bytes()
    };
    let pca = r#""pca":{"rows":150,"total_variance":1.0},"shape""#;
    refused(&with_model(GOLDEN[1], r#""shape""#, pca), &["variance of a PCA"]);
    refused(&with_model(GOLDEN[0], r#""total_variance":"#, r#""total_variance":-"#), &["negative variance"]);
    let mut parts = Parts::of(&golden_bytes(GOLDEN[0]));
    let mut variances = parts.f64("pca.explained_variance");
    *variances.last_mut().unwrap() = -1e-9;
    parts.set_f64("pca.explained_variance", &variances);
    refused(&parts.bytes(), &["negative variance"]);
}

#[test]
fn model_files_have_a_largest_number_of_layers() {
    let mut parts = Parts::of(&golden_bytes(GOLDEN[1]));
    let layers = vec![r#""relu""#; 300_000].join(",");
    parts.model = parts.model.replacen(r#"{"dense":3}"#, &format!(r#"{{"dense":3}},{layers}"#), 1);
    let started = std::time::Instant::now();
    refused(&parts.bytes(), &["more than 1000 layers"]);
    assert!(started.elapsed().as_secs() < 5, "{:?}", started.elapsed());
}

#[test]
fn sources_that_do_not_fit_are_refused_with_both_widths() {
    for name in &GOLDEN[..2] {
        let model = Model::open(&golden(name)).unwrap();
        let rows = made(vec![0.5f32; 9], Shape::flat(3));
        for result in [model.encode(&rows), model.decode(&rows), model.reconstruct(&rows)] {
            let message = result.unwrap_err().to_string();
            assert!(message.contains('3') && (message.contains('4') || message.contains('2')), "{message}");
        }
    }
}
