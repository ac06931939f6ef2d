//! Command lines: short ones, of words that belong somewhere, given to the built binary. A case is the arguments, each followed by
//! a zero byte. The binary must end by itself with 0, 1 or 2, and say why where it does not succeed.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::{Target, Verdict, scratch_folder};
use crate::campaign::Journal;
use crate::mutate::NUMBERS;
use crate::random::Random;

/// Memory of a command in KiB: the inputs are tiny.
const MEMORY: &str = "3000000";

/// The time of a command.
const TIME: Duration = Duration::from_secs(20);

const VERBS: &[&str] = &[
    "fit",
    "fit",
    "fit",
    "compare",
    "encode",
    "decode",
    "reconstruct",
    "interpolate",
    "split",
    "predict",
    "evaluate",
    "show",
    "show",
    "data",
    "recipes",
    "help",
    "nonsense",
];

const RECIPES: &[&str] = &[
    "pca",
    "linear",
    "tied",
    "single",
    "sparse",
    "deep",
    "vae",
    "classifier",
    "../in/own.toml",
    "nothing",
    "conv",
];

const DATA: &[&str] = &[
    "iris",
    "iris",
    "iris",
    "iris",
    "iris",
    "../in/data.csv",
    "../in/data.csv",
    "../in/data.csv",
    "../in/data.npy",
    "../in/codes.npy",
    "../in/bad.csv",
    "../in/empty.csv",
    "../in/folder",
    "../in/missing.npy",
    "../in/m.narrows",
];

const MODELS: &[&str] = &[
    "../in/m.narrows",
    "../in/m.narrows",
    "../in/m.narrows",
    "../in/single.narrows",
    "../in/single.narrows",
    "../in/classifier.narrows",
    "../in/classifier.narrows",
    "../in/own.toml",
    "../in/missing.narrows",
    "../in/bad.narrows",
    "../in/m.encoder.narrows",
];

/// Options, each with values that it may take; a flag has none.
const OPTIONS: &[(&str, &[&str])] = &[
    ("--code-size", &["1", "2", "3", "0", "5"]),
    ("--layers", &["4-8-2", "4-3", "4-3-3", "5-2"]),
    ("--pretrain", &["relu", "denoising", "sparse", "none", "relu,denoising"]),
    (
        "--set",
        &[
            "train.optimizer=sgd",
            "scale=min_max",
            "scale=none",
            "loss=mse",
            "train.learning_rate=1e30",
            "train.checkpoint=0",
            "weights.init=he",
            "encoder=[{dense=2}]",
        ],
    ),
    ("--epochs", &["1", "2", "0"]),
    ("--batch-size", &["1", "7", "1000", "0", "18446744073709551615"]),
    ("--seed", &["0", "5", "18446744073709551615"]),
    ("--threads", &["1", "2", "3", "0"]),
    ("--held-out", &["0.1", "0.5", "iris", "../in/data.csv", "1.0", "0"]),
    ("--held-out-labels", &["../in/labels.csv"]),
    ("--shape", &["2x2", "4", "1x2x2", "28x28"]),
    ("--label-column", &["class", "species", "5", "1"]),
    ("--labels-file", &["../in/labels.csv", "../in/data.csv"]),
    ("--report", &["report", ".", "../in/data.csv"]),
    ("--json", &[]),
    ("--start-from", &["../in/m.narrows", "../in/single.narrows", "../in/classifier.narrows"]),
    ("--labelled-rows", &["10", "150", "0"]),
    ("--frozen", &[]),
    ("--random-baseline", &[]),
    ("--seeds", &["1", "2", "0"]),
    ("--resume", &[]),
    ("--code-sizes", &["1,2,3", "2", "0,9"]),
    (
        "--out",
        &[
            "out.narrows",
            "out.csv",
            "out.npy",
            "out.png",
            "/dev/full",
            "/no/such/folder/x.csv",
            "../in/data.csv",
        ],
    ),
    ("--from-row", &["1", "150", "0", "151"]),
    ("--to-row", &["2", "150", "0"]),
    ("--steps", &["3", "0", "1000"]),
    ("--out-dir", &["parts", ".", "../in/data.csv"]),
    ("--help", &[]),
    ("--version", &[]),
    ("--no-such", &[]),
    ("--", &[]),
];

/// Values that belong to nothing in particular.
const VALUES: &[&str] = &[
    "1",
    "2",
    "3",
    "4-8-2",
    "4-3",
    "0",
    "-1",
    "2,3",
    "1,2,3",
    "0.1",
    "0.5",
    "1.0",
    "2x2",
    "4",
    "28x28",
    "class",
    "species",
    "5",
    "relu",
    "denoising",
    "sparse",
    "none",
    "../in/labels.csv",
    "../in/data.csv",
    "iris",
    "out.narrows",
    "out.csv",
    "out.npy",
    "out.png",
    "report",
    ".",
    "/dev/full",
    "/no/such/folder/x.csv",
    "",
    "é",
    "train.epochs=1",
    "train.optimizer=sgd",
    "train.learning_rate=1e30",
    "scale=min_max",
    "scale=none",
    "loss=mse",
    "encoder=[{dense=2}]",
    "train.epochs=0",
    "train=1",
    "a.b.c=1",
    "=",
    "x",
    "train.batch_size=18446744073709551615",
    "train.checkpoint=0",
    "weights.init=he",
    "../in/m.narrows",
    "../in/classifier.narrows",
];

/// The target.
pub struct Commands {
    binary: PathBuf,
    folder: tempfile::TempDir,
}

impl Commands {
    /// The target, with a folder of small inputs that the binary itself makes.
    ///
    /// # Errors
    /// Where the binary cannot make them.
    pub fn new(binary: &Path) -> Result<Self, String> {
        let binary = binary.canonicalize().map_err(|error| format!("{}: {error}", binary.display()))?;
        let target = Self { binary, folder: scratch_folder()? };
        let inputs = target.folder.path().join("in");
        std::fs::create_dir_all(inputs.join("folder")).map_err(|error| error.to_string())?;
        for (name, text) in [
            ("bad.csv", "a,b\n1,2\n1,x\n".to_owned()),
            ("empty.csv", String::new()),
            ("bad.narrows", "no model".to_owned()),
            ("labels.csv", (0..150).map(|row| format!("kind {}\n", row % 3)).collect()),
            ("own.toml", "method = \"autoencoder\"\nscale = \"min_max\"\nencoder = [{ dense = 2 }]\ndecoder = [{ dense = \"input\" }, \"sigmoid\"]\ntrain = { epochs = 1 }\n".to_owned()),
        ] {
            write(&inputs.join(name), text.as_bytes())?;
        }
        let fit = |recipe: &str, out: &str, more: &[&str]| {
            let mut arguments = vec!["fit", recipe, "iris", "--out", out, "--report", "report"];
            arguments.extend_from_slice(more);
            target.make(&inputs, &arguments)
        };
        fit("pca", "m.narrows", &["--code-size", "2"])?;
        fit("single", "single.narrows", &["--epochs", "1", "--set", "scale=min_max"])?;
        fit(
            "classifier",
            "classifier.narrows",
            &["--epochs", "1", "--layers", "4-3-3", "--set", "pretrain.epochs=1"],
        )?;
        for arguments in [
            &["reconstruct", "m.narrows", "iris", "--out", "data.csv"][..],
            &["reconstruct", "m.narrows", "iris", "--out", "data.npy"],
            &["encode", "m.narrows", "iris", "--out", "codes.npy"],
            &["split", "m.narrows"],
        ] {
            target.make(&inputs, arguments)?;
        }
        Ok(target)
    }

    fn make(&self, folder: &Path, arguments: &[&str]) -> Result<(), String> {
        let output = Command::new(&self.binary)
            .args(arguments)
            .current_dir(folder)
            .output()
            .map_err(|error| error.to_string())?;
        if output.status.success() {
            Ok(())
        } else {
            Err(format!("{arguments:?}: {}", String::from_utf8_lossy(&output.stderr)))
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "inputs in a scratch folder")]
fn write(path: &Path, bytes: &[u8]) -> Result<(), String> {
    std::fs::write(path, bytes).map_err(|error| format!("{}: {error}", path.display()))
}

impl Target for Commands {
    fn generate(&mut self, random: &mut Random, _: &Journal) -> Vec<u8> {
        let verb = random.choose(VERBS);
        let mut arguments = vec![verb];
        match verb {
            "fit" => arguments.extend([random.choose(RECIPES), random.choose(DATA)]),
            "compare" => {
                arguments.extend([random.choose(RECIPES), random.choose(RECIPES), random.choose(DATA)])
            }
            "show" if random.one_in(2) => arguments.push(random.choose(RECIPES)),
            "show" | "split" => arguments.push(random.choose(MODELS)),
            "data" => arguments.push(random.choose(DATA)),
            "recipes" | "help" | "nonsense" => {}
            _ => arguments.extend([random.choose(MODELS), random.choose(DATA)]),
        }
        // Most of what nobody meant is little beside something that somebody did.
        if matches!(verb, "encode" | "decode" | "reconstruct" | "interpolate" | "predict")
            && !random.one_in(6)
        {
            arguments
                .extend(["--out", random.choose(&["out.csv", "out.npy", "out.png", "out", "../in/folder"])]);
        }
        if matches!(verb, "fit" | "compare") {
            arguments.extend(["--epochs", "1"]);
            if verb == "fit" && !random.one_in(4) {
                arguments.extend(["--set", "scale=min_max"]);
            }
        }
        for _ in 0..random.choose(&[0, 0, 1, 1, 2, 3]) {
            let (option, values) = random.choose(OPTIONS);
            arguments.push(option);
            let is_misfit = random.one_in(10);
            match (values.is_empty(), is_misfit) {
                (false, false) => arguments.push(random.choose(values)),
                (_, true) => arguments.push(if random.one_in(2) {
                    random.choose(NUMBERS)
                } else {
                    random.choose(VALUES)
                }),
                (true, false) => {}
            }
        }
        if random.one_in(12) {
            let (a, b) = (random.below(arguments.len()), random.below(arguments.len()));
            arguments.swap(a, b);
        }
        if random.one_in(12) {
            arguments.remove(random.below(arguments.len()));
        }
        arguments.iter().flat_map(|argument| argument.bytes().chain([0])).collect()
    }

    fn run(&mut self, case: &[u8]) -> Result<Verdict, String> {
        let text = String::from_utf8_lossy(case);
        let mut arguments: Vec<&str> = text.split('\0').collect();
        arguments.pop();
        let folder = self.folder.path().join("run");
        std::fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
        // Inputs that a command may overwrite are made anew.
        let kept = self.folder.path().join("kept");
        copy(&self.folder.path().join("in"), &kept)?;
        let result = self.run_in(&folder, &arguments);
        let _ = std::fs::remove_dir_all(&folder);
        let _ = std::fs::remove_dir_all(self.folder.path().join("in"));
        std::fs::rename(&kept, self.folder.path().join("in")).map_err(|error| error.to_string())?;
        result
    }

    /// Of this process; the command has a limit of its own.
    fn memory(&self, case: &[u8]) -> usize {
        4 * case.len() + (64 << 20)
    }

    fn time(&self) -> Duration {
        TIME
    }
}

/// Copies the files of a folder, and its folders as empty ones.
fn copy(from: &Path, to: &Path) -> Result<(), String> {
    let _ = std::fs::remove_dir_all(to);
    let failed = |error: std::io::Error| format!("{}: {error}", to.display());
    std::fs::create_dir_all(to).map_err(failed)?;
    for path in std::fs::read_dir(from).map_err(failed)?.filter_map(|entry| Some(entry.ok()?.path())) {
        let target = to.join(path.file_name().unwrap_or_default());
        if path.is_dir() {
            std::fs::create_dir_all(target).map_err(failed)?;
        } else {
            std::fs::copy(&path, target).map_err(failed)?;
        }
    }
    Ok(())
}

impl Commands {
    fn run_in(&self, folder: &Path, arguments: &[&str]) -> Result<Verdict, String> {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("ulimit -c 0; ulimit -v {MEMORY}; exec \"$@\""), "sh"]);
        command.arg(&self.binary).args(arguments).current_dir(folder);
        let [out, err] = ["out", "err"].map(|name| self.folder.path().join(name));
        let file = |path: &Path| {
            std::fs::OpenOptions::new()
                .create(true)
                .write(true)
                .truncate(true)
                .open(path)
                .map_err(|error| error.to_string())
        };
        command.stdin(Stdio::null()).stdout(file(&out)?).stderr(file(&err)?);
        let mut child = command.spawn().map_err(|error| error.to_string())?;
        let began = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait().map_err(|error| error.to_string())? {
                break status;
            }
            if began.elapsed() > TIME {
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("time: {arguments:?}: over {} s", TIME.as_secs()));
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        let read = |path: &Path| {
            std::fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
        };
        let (stdout, stderr) = (read(&out), read(&err));
        let first = stderr.lines().find(|line| !line.is_empty()).unwrap_or_default();
        if stderr.contains("panicked at") {
            return Err(format!("panic: {arguments:?}: {first}"));
        }
        match status.code() {
            Some(0) => {
                if arguments.contains(&"--json") && !arguments.contains(&"--help") {
                    let is_json = |line: &str| serde_json::from_str::<serde_json::Value>(line).is_ok();
                    if let Some(line) = stdout.lines().find(|line| !is_json(line)) {
                        return Err(format!("json: {arguments:?}: {line:?}"));
                    }
                }
                Ok(Verdict::Accepted)
            }
            Some(1 | 2) if !first.is_empty() => Ok(Verdict::Refused),
            Some(1 | 2) => Err(format!("message: {arguments:?}: none")),
            _ => Err(format!("abort: {arguments:?}: {status}: {first}")),
        }
    }
}
