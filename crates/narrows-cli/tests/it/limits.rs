//! Limits: of memory, of threads, of what a file may ask for. Each is one line of an error, and exit code 1.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::run::{Place, Run};

/// Runs `narrows LINE` by a shell after `limit`, such as `ulimit -v 300000`.
fn under(place: &Place, limit: &str, line: &str) -> Run {
    let binary = env!("CARGO_BIN_EXE_narrows");
    let mut command = Command::new("sh");
    command.args(["-c", &format!("{limit} && exec {binary} {line}")]).stdin(Stdio::null());
    Run::of(command.current_dir(place.path(".")).output().unwrap())
}

/// One line of an error with these parts.
#[track_caller]
fn refused(run: &Run, parts: &[&str]) {
    assert_eq!(run.code, 1, "{}{}", run.stdout, run.stderr);
    assert_eq!(run.stderr.trim_end().lines().count(), 1, "{}", run.stderr);
    assert!(run.stderr.starts_with("error: "), "{}", run.stderr);
    for part in parts {
        assert!(run.stderr.contains(part), "{part}: {}", run.stderr);
    }
}

/// An NPY file of zeros: its rows take no disk where the system has files with holes.
fn zeros(place: &Place, name: &str, rows: usize, columns: usize) {
    let mut header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {columns}), }}");
    header.push_str(&" ".repeat(117 - header.len()));
    header.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00\x76\x00".to_vec();
    bytes.extend(header.bytes());
    let length = (bytes.len() + 4 * rows * columns) as u64;
    place.write(name, bytes);
    let file = std::fs::File::options().write(true).open(place.path(name)).unwrap();
    file.set_len(length).unwrap();
}

#[cfg(target_os = "linux")]
#[test]
fn work_that_does_not_fit_into_the_address_space_is_refused_with_what_would() {
    let place = Place::new();
    place.fit("conv mnist:test --epochs 1 --set train.batch_size=16 --out conv.narrows --report r --held-out 0.02 --threads 1");
    zeros(&place, "wide.npy", 3000, 3000);
    zeros(&place, "tall.npy", 40_000, 784);
    place.write("big.toml", "method = \"autoencoder\"\nloss = \"mse\"\nencoder = [{ dense = 20000 }]\ndecoder = [{ dense = \"input\" }]\n");
    let cases: &[(usize, &str, &[&str])] = &[
        (200_000, "encode conv.narrows tall.npy --out o.csv --threads 4", &["`ulimit -v` limits", "free"]),
        (
            400_000,
            "fit pca wide.npy --out m --report r --threads 1 --set solver=exact",
            &["the PCA of", "3000 numbers", "MiB are free", "`solver = \"randomized\"` fits"],
        ),
        (
            400_000,
            "fit big.toml mnist:test --out m --report r --threads 1",
            &["training takes", "fewer units"],
        ),
        (
            400_000,
            "fit single mnist:test --out m --report r --threads 4",
            &["for 4 threads", "--threads 1 fits"],
        ),
        (200_000, "reconstruct conv.narrows tall.npy --out o.npy --threads 1", &["takes", "MiB"]),
        (150_000, "data wide.npy --shape 3000", &["row"]),
    ];
    for (kilobytes, line, parts) in cases {
        let run = under(&place, &format!("ulimit -v {kilobytes}"), line);
        // A description reads the rows where they lie.
        if run.code == 0 && line.starts_with("data") {
            continue;
        }
        refused(&run, parts);
    }
    assert!(!place.path("m").exists() && !place.path("o.csv").exists() && !place.path("o.npy").exists());
}

#[cfg(target_os = "linux")]
#[test]
fn a_pca_whose_matrix_does_not_fit_is_found_by_passes_over_the_rows() {
    let place = Place::new();
    zeros(&place, "wide.npy", 3000, 3000);
    let run = under(&place, "ulimit -v 400000", "fit pca wide.npy --out m --report r --threads 1");
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(run.stdout.contains("randomised solver"), "{}", run.stdout);
}

#[cfg(target_os = "linux")]
#[test]
fn threads_that_cannot_be_started_are_an_error() {
    let place = Place::new();
    place.fit("pca iris --code-size 2 --out m.narrows --report r");
    zeros(&place, "many.npy", 128 * 1000, 4);
    let run = under(&place, "ulimit -v 600000", "encode m.narrows many.npy --out o.npy --threads 1000");
    refused(&run, &["--threads"]);
}

#[cfg(unix)]
#[test]
fn special_files_are_refused_by_their_type_and_never_waited_for() {
    let place = Place::new();
    place.fit("pca iris --code-size 2 --out m.narrows --report r");
    place.write("one.csv", "a,b,c,d\n1,2,3,4\n2,3,4,5\n");
    let made = Command::new("mkfifo").arg(place.path("f")).status();
    if !made.is_ok_and(|status| status.success()) {
        println!("no mkfifo here");
        return;
    }
    std::os::unix::fs::symlink(place.path("f"), place.path("f.csv")).unwrap();
    std::os::unix::fs::symlink(place.path("f"), place.path("f.toml")).unwrap();
    for (line, part) in [
        ("show f", "f: a FIFO, not an ordinary file"),
        ("show f.toml", "f.toml: a FIFO"),
        ("data f.csv", "f.csv: a FIFO"),
        ("data one.csv --labels-file f.csv", "f.csv: a FIFO"),
        ("encode f one.csv --out o.csv", "f: a FIFO"),
        ("encode m.narrows f.csv --out o.csv", "f.csv: a FIFO"),
        ("fit f.toml iris --out o", "f.toml: a FIFO"),
        ("show /dev/zero", "/dev/zero: a device"),
        ("data /dev/zero", "/dev/zero: a device"),
        ("show .", "a folder"),
    ] {
        let started = Instant::now();
        let mut child = place.command(line).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        while child.try_wait().unwrap().is_none() {
            assert!(started.elapsed() < Duration::from_secs(20), "narrows {line} waits");
            std::thread::sleep(Duration::from_millis(5));
        }
        refused(&Run::of(child.wait_with_output().unwrap()), &[part]);
    }
}

#[test]
fn what_a_file_may_ask_for_has_an_end() {
    let place = Place::new();
    let network = |encoder: &str| {
        format!(
            "method = \"autoencoder\"\nloss = \"mse\"\nencoder = [{encoder}]\ndecoder = [{{ dense = \"input\" }}]\n"
        )
    };
    let many = |layer: &str, count: usize| vec![layer; count].join(", ");
    place.write("many.toml", network(&many("\"relu\"", 2000)));
    place.write("stride.toml", network("{ transposed_conv = 1, stride = 1000 }, { dense = 1 }"));
    place.write("upsample.toml", network("{ upsample = 1000 }, { max_pool = 1000 }, { dense = 1 }"));
    place.write("pool.toml", network("{ max_pool = 2000 }, { dense = 1 }"));
    place.write("long.toml", format!("# {}\n", "x".repeat(2 << 20)));
    let transposed = "{ transposed_conv = 1, stride = 28 }, { dense = 1 }";
    place.write("transposed.toml", network(transposed));
    let auto = many("{ conv = 2, kernel = 3, padding = \"auto\" }", 5);
    place.write(
        "auto.toml",
        network(&format!("{auto}, {}, \"flatten\", {{ dense = 2 }}", many("\"relu\"", 900))),
    );
    for (line, parts) in [
        ("show many.toml", ["encoder", "more than 1000 layers"]),
        ("show stride.toml", ["stride", "1 to 256"]),
        ("show upsample.toml", ["upsample", "1 to 256"]),
        ("show pool.toml", ["max_pool", "1 to 1024"]),
        ("show long.toml", ["2.0 MiB long", "a recipe has at most 1.0 MiB"]),
    ] {
        refused(&place.run(line), &parts);
    }
    // To be told is no more work than to be read: tables are not made.
    for line in
        ["show conv --shape 8000x8000x1", "show transposed.toml --shape 1000x1000x1", "show auto.toml"]
    {
        let started = Instant::now();
        place.ok(line);
        assert!(started.elapsed() < Duration::from_secs(5), "narrows {line}: {:?}", started.elapsed());
    }
}

#[test]
fn a_fit_tells_the_memory_that_it_takes() {
    let place = Place::new();
    let lines = place.json("fit single iris --set scale=min_max --epochs 2 --json --out m --report r");
    let fit = lines.iter().find(|line| line["event"] == "fit").unwrap();
    let memory = fit["memory"].as_u64().unwrap();
    assert!((1000..100_000_000).contains(&memory), "{memory}");
}
