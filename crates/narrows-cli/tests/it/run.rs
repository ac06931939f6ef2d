//! Running the program.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// An empty folder that the program runs in.
pub struct Place(tempfile::TempDir);

/// What a run left.
pub struct Run {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Place {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), text).unwrap();
    }

    pub fn bytes(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// The names in a folder, sorted.
    pub fn list(&self, folder: &str) -> Vec<String> {
        let entries =
            std::fs::read_dir(self.path(folder)).unwrap_or_else(|error| panic!("{folder}: {error}"));
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    pub fn command(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_narrows"));
        // Blanks part words; one that needs a blank has it as `~`.
        command.args(line.split_whitespace().map(|word| word.replace('~', " ")));
        command.current_dir(self.0.path()).stdin(Stdio::null()).env_remove("NARROWS_SIMD");
        command
    }

    pub fn run(&self, line: &str) -> Run {
        Run::of(self.command(line).output().unwrap())
    }

    /// A run that must succeed.
    #[track_caller]
    pub fn ok(&self, line: &str) -> Run {
        let run = self.run(line);
        assert_eq!(run.code, 0, "narrows {line}\n{}{}", run.stdout, run.stderr);
        run
    }

    /// A run that must succeed, its lines of JSON.
    #[track_caller]
    pub fn json(&self, line: &str) -> Vec<Value> {
        self.ok(line).json()
    }

    /// A fit that must succeed, its last line.
    #[track_caller]
    pub fn fit(&self, line: &str) -> Value {
        let done = self.json(&format!("fit {line} --json")).pop().unwrap();
        assert_eq!(done["event"], "fit");
        done
    }
}

impl Run {
    pub fn of(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let run = Self {
            code: output.status.code().expect("the program was not killed by a signal"),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        };
        assert!(!run.stderr.contains("panicked"), "{}", run.stderr);
        run
    }

    /// Standard output as JSON: one object per line, nothing else.
    #[track_caller]
    pub fn json(&self) -> Vec<Value> {
        assert!(self.stdout.ends_with('\n'), "{}", self.stdout);
        let parse = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let lines: Vec<Value> = self.stdout.lines().map(parse).collect();
        assert!(lines.iter().all(Value::is_object));
        lines
    }
}

/// A number of a line of JSON.
#[track_caller]
pub fn number(line: &Value, field: &str) -> f64 {
    line[field].as_f64().unwrap_or_else(|| panic!("{field} is no number in {line}"))
}

/// The numbers of an .npy file of version 1, little-endian: type, shape, numbers. Read by the format's own words
/// (numpy.lib.format), not by the program's reader.
pub fn npy(path: &Path) -> (String, Vec<usize>, Vec<f64>) {
    let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert_eq!(&bytes[..8], b"\x93NUMPY\x01\x00");
    let end = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let header = std::str::from_utf8(&bytes[10..end]).unwrap();
    let behind = |key: &str| header.split(&format!("'{key}': ")).nth(1).unwrap_or_else(|| panic!("{header}"));
    assert!(behind("fortran_order").starts_with("False"));
    let dtype = behind("descr").split('\'').nth(1).unwrap().to_owned();
    let shape: Vec<usize> = behind("shape")
        .split(['(', ')'])
        .nth(1)
        .unwrap()
        .split(',')
        .filter_map(|side| side.trim().parse().ok())
        .collect();
    let body = &bytes[end..];
    let values: Vec<f64> = match &*dtype {
        "<f4" => body.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap()).into()).collect(),
        "<f8" => body.chunks_exact(8).map(|b| f64::from_le_bytes(b.try_into().unwrap())).collect(),
        other => panic!("{other}"),
    };
    assert_eq!(values.len(), shape.iter().product::<usize>());
    (dtype, shape, values)
}

/// The header and the numbers of a CSV file.
pub fn csv(path: &Path) -> (Vec<String>, Vec<Vec<f64>>) {
    let text = std::fs::read_to_string(path).unwrap();
    let mut lines = text.lines();
    let header = lines.next().unwrap().split(',').map(str::to_owned).collect();
    // A class or an identifier is no number.
    let number = |cell: &str| cell.parse().ok().filter(|value: &f64| !value.is_nan());
    let row = |line: &str| line.split(',').filter_map(number).collect();
    (header, lines.map(row).collect())
}
