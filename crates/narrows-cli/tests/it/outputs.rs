//! What goes out: a reader that leaves, paths that are no UTF-8, control characters, numbers that are not finite, CSV for
//! spreadsheets.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};

use serde_json::Value;

use super::run::{Place, Run};

/// A run whose standard output goes to a file of the system.
fn into(mut command: Command, device: &str) -> Run {
    let device = std::fs::OpenOptions::new().write(true).open(device).unwrap();
    Run::of(command.stdout(device).stderr(Stdio::piped()).output().unwrap())
}

/// A run whose reader leaves after the first line.
fn read_one_line(mut command: Command) -> Run {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut reader = BufReader::new(child.stdout.take().unwrap());
    let mut stdout = String::new();
    reader.read_line(&mut stdout).unwrap();
    drop(reader);
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert!(!stderr.contains("panicked"), "{stderr}");
    Run { code: child.wait().unwrap().code().unwrap(), stdout, stderr }
}

/// More epochs than a pipe holds.
const LONG_FIT: &str =
    "fit single iris --set scale=min_max --code-size 2 --epochs 2000 --out m.narrows --report r --json";

#[cfg(unix)]
#[test]
fn a_reader_that_leaves_ends_no_fit() {
    let place = Place::new();
    let whole = place.json(LONG_FIT);
    let bytes = place.bytes("m.narrows");
    std::fs::remove_file(place.path("m.narrows")).unwrap();

    let left = read_one_line(place.command(LONG_FIT));
    assert_eq!(left.code, 0, "{}", left.stderr);
    let said = "standard output: Broken pipe (os error 32); the fit goes on without it";
    assert_eq!(left.stderr.lines().next(), Some(said), "{}", left.stderr);
    assert!(left.stderr.contains("m.narrows") && left.stderr.lines().count() == 2, "{}", left.stderr);
    assert_eq!(whole.len(), 2001);
    assert_eq!(place.bytes("m.narrows"), bytes);

    let compared = read_one_line(
        place.command("compare single pca iris --set scale=min_max --epochs 3 --report c --json"),
    );
    // The last lines fit into the pipe or do not: the work is done in both cases.
    assert_eq!(compared.code, 0, "{}", compared.stderr);
    assert!(place.path("c/report.html").exists());
}

#[cfg(target_os = "linux")]
#[test]
fn output_that_cannot_be_written_is_a_failure_after_the_work() {
    let place = Place::new();
    let fit = into(place.command(LONG_FIT), "/dev/full");
    assert_eq!(fit.code, 1);
    assert!(fit.stderr.starts_with("standard output: No space left"), "{}", fit.stderr);
    assert!(
        fit.stderr.contains("the fit goes on without it") && fit.stderr.contains("m.narrows"),
        "{}",
        fit.stderr
    );
    assert_eq!(place.json("show m.narrows --json")[0]["epochs"], 2000);
    let compared = into(place.command("compare pca iris --report c"), "/dev/full");
    assert!(compared.code == 1 && place.path("c/report.html").exists(), "{}", compared.stderr);
    let encoded = into(place.command("encode m.narrows iris --out c.npy --json"), "/dev/full");
    assert_eq!(encoded.code, 1, "{}", encoded.stderr);
    place.ok("data c.npy");
    for listing in
        ["recipes", "data", "data iris --json", "show single", "evaluate m.narrows iris", "reproduce"]
    {
        let run = into(place.command(listing), "/dev/full");
        assert_eq!(run.code, 1, "{listing}");
        assert!(run.stderr.starts_with("error: standard output: No space left"), "{listing}: {}", run.stderr);
    }
}

#[cfg(unix)]
#[test]
fn listings_end_quietly_where_their_reader_left() {
    let place = Place::new();
    for listing in ["recipes", "recipes --json", "data", "show conv", "data iris"] {
        let mut command = place.command(listing);
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let run = Run::of(command.stdout(writer).stderr(Stdio::piped()).output().unwrap());
        assert_eq!((run.code, &*run.stderr), (0, ""), "{listing}");
    }
}

/// Messages that nobody can read are lost, and nothing else.
#[cfg(target_os = "linux")]
#[test]
fn a_standard_error_that_cannot_be_written_changes_nothing() {
    let place = Place::new();
    place.ok("fit pca iris --code-size 2 --out m.narrows --report r");
    for (line, code) in [
        ("encode m.narrows iris --out c.npy", 0),
        ("fit single iris --set scale=min_max --epochs 3 --out n.narrows --report r", 0),
        ("fit pca absent.csv", 1),
        ("show absent", 1),
        ("fit pca", 2),
        (
            "fit single iris --set loss=mse --set scale=none --set decoder=[{dense=\"input\"}] --set train.optimizer=sgd --set train.learning_rate=1e30 --epochs 3 --out n.narrows --report r",
            1,
        ),
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let closed = place.command(line).stdout(Stdio::null()).stderr(writer).status().unwrap();
        assert_eq!(closed.code(), Some(code), "{line}");
        let full = place.command(line).stdout(Stdio::null()).stderr(full).status().unwrap();
        assert_eq!(full.code(), Some(code), "{line}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn paths_that_are_no_utf8_are_paths() {
    use std::os::unix::ffi::OsStringExt;

    let place = Place::new();
    // `~` stands for a byte that no UTF-8 has.
    let word = |text: &str| {
        OsString::from_vec(text.bytes().map(|byte| if byte == b'~' { 0xff } else { byte }).collect())
    };
    let copy = |name: &str, bytes: &[u8]| std::fs::write(place.path("").join(word(name)), bytes).unwrap();
    copy("rows~.csv", b"a,b,kind\n1,2,x\n2,1,y\n3,5,x\n4,3,y\n5,9,x\n6,2,y\n");
    copy("plain~.csv", b"a,b\n1,2\n2,1\n3,5\n4,3\n");
    copy("labels~.txt", b"x\ny\nx\ny\n");
    copy("recipe~.toml", b"method = \"pca\"\ncode_size = 1\n");
    let run = |line: &str| {
        let mut command = place.command("");
        command.args(line.split(' ').map(word));
        Run::of(command.output().unwrap())
    };
    for line in [
        "fit recipe~.toml plain~.csv --held-out plain~.csv --out m~.narrows --report r~",
        "fit recipe~.toml plain~.csv --held-out plain~.csv --held-out-labels labels~.txt --labels-file labels~.txt --out m~.narrows --report r~ --json",
        "fit pca rows~.csv --label-column kind",
        "encode m~.narrows plain~.csv --out codes~.npy",
        "encode m~.narrows plain~.csv --out codes~.npy --json",
        "decode m~.narrows codes~.npy --out back~.csv --json",
        "reconstruct m~.narrows plain~.csv --out back~.csv",
        "interpolate m~.narrows plain~.csv --from-row 1 --to-row 2 --out line~.csv --json",
        "evaluate m~.narrows plain~.csv --json",
        "evaluate m~.narrows plain~.csv",
        "show m~.narrows --json",
        "show recipe~.toml --json",
        "show recipe~.toml",
        "data rows~.csv --label-column kind --json",
        "split m~.narrows --json",
        "split m~.narrows --out-dir r~",
        "compare recipe~.toml linear plain~.csv --code-size 1 --held-out plain~.csv --report c~ --json",
        "compare recipe~.toml plain~.csv --report c~",
        "fit classifier rows~.csv --label-column kind --epochs 1 --layers 2-2 --out k~.narrows --report k~",
        "evaluate k~.narrows rows~.csv --label-column kind --report e~ --json",
        "predict k~.narrows plain~.csv --out p~.csv --json",
    ] {
        let run = run(line);
        assert_eq!(run.code, 0, "{line}: {}", run.stderr);
        if line.ends_with("--json") {
            run.json();
        }
    }
    for line in
        ["fit pca absent~.csv", "show absent~", "encode m~.narrows iris --out c~.odd", "compare absent~ iris"]
    {
        let run = run(line);
        assert_eq!((run.code, run.stderr.lines().count()), (1, 1), "{line}: {}", run.stderr);
        assert!(run.stderr.contains('\u{fffd}'), "{}", run.stderr);
    }
}

/// Clears the screen, sets colours in two ways, writes backwards, forges a line.
const HOSTILE: &str = "\u{1b}[2J\u{9b}31m\u{7f}\u{202e}\u{2066}\r\n\tforged";

#[test]
fn control_characters_of_files_are_shown_and_not_obeyed() {
    let place = Place::new();
    let json = serde_json::to_string(HOSTILE).unwrap();
    place.write("r.toml", format!("method = \"pca\"\nabout = {}\n", json.replace('\u{7f}', "\\u007f")));
    place.write("c.csv", format!("a,b,kind\n1,2,\"{HOSTILE}\"\n2,1,y\n3,5,\"{HOSTILE}\"\n4,3,y\n5,9,y\n"));
    place.write("h.csv", format!("\"{HOSTILE}\",b\n1,2\n2,1\n3,5\n"));
    place.ok("fit classifier c.csv --label-column kind --held-out c.csv --layers 2-2 --epochs 2 --out k.narrows --report r");
    let is_hostile = |c: char| {
        c != '\n' && (c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'))
    };
    for line in [
        "show r.toml",
        "data c.csv --label-column kind",
        "data h.csv",
        "show k.narrows",
        "evaluate k.narrows c.csv --label-column kind",
        "fit pca h.csv --held-out h.csv --out m.narrows --report r",
        "fit pca c.csv",
        "evaluate k.narrows h.csv",
    ] {
        let run = place.run(line);
        let out = run.stdout + &run.stderr;
        assert!(!out.contains(is_hostile), "{line}: {out:?}");
        assert!(
            !out.lines().any(|line| line.trim_start().starts_with("forged") && !line.contains('"')),
            "{line}: {out}"
        );
    }
    for (line, found) in [
        ("show r.toml --json", "/recipe/about"),
        ("data c.csv --label-column kind --json", "/classes/0/name"),
        ("data h.csv --json", "/columns/0"),
        ("show k.narrows --json", "/classes/0"),
        ("evaluate k.narrows c.csv --label-column kind --json", "/classes/0"),
    ] {
        let run = place.ok(line);
        assert!(!run.stdout.contains(is_hostile), "{line}: {:?}", run.stdout);
        let text = run.json()[0].pointer(found).unwrap_or_else(|| panic!("{found}: {}", run.stdout)).clone();
        // Columns and classes are trimmed by the reader, at their ends only.
        assert_eq!(text, Value::from(HOSTILE), "{line}");
    }
}

/// All numbers of JSON, and all fields that have one.
fn fields(value: &Value, place: String, into: &mut Vec<(String, bool)>) {
    match value {
        Value::Object(object) => {
            object.iter().for_each(|(name, value)| fields(value, format!("{place}/{name}"), into))
        }
        Value::Array(list) => list.iter().for_each(|value| fields(value, place.clone(), into)),
        value => into.push((place, value.is_null())),
    }
}

#[test]
fn results_that_are_not_finite_are_refused_with_the_first_row_and_nothing_is_written() {
    let place = Place::new();
    let rows = |row: usize, value: &str| -> String {
        let line = |at: usize| match at {
            at if at == row => format!("{value},1,2\n"),
            at => format!("{},{},{}\n", at % 7, (at * 5) % 11, at % 3),
        };
        std::iter::once("a,b,c\n".to_owned()).chain((1..=300).map(line)).collect()
    };
    place.write("rows.csv", rows(0, ""));
    place.write("far.csv", rows(201, "1e300"));
    place.write("large.csv", rows(201, "1e38"));
    place.write("codes.csv", "code_1,code_2\n1,2\n3e38,3e38\n1e300,2\n");
    place.write("same.csv", "a,b\n1e100,2e100\n1e100,2e100\n1e100,2e100\n1e100,2e100\n");
    place.write("net.toml", "method = \"autoencoder\"\nscale = \"none\"\nloss = \"mse\"\nencoder = [{ dense = 2 }]\ndecoder = [{ dense = \"input\" }]\n");
    for (name, line) in [
        ("net", "net.toml rows.csv --epochs 3"),
        ("pca", "pca rows.csv --code-size 2"),
        ("same", "single same.csv --held-out same.csv --set scale=min_max --code-size 1 --epochs 2"),
    ] {
        place.ok(&format!("fit {line} --out {name}.narrows --report r"));
    }
    let before = place.list(".");
    for (line, says) in [
        (
            "encode net.narrows far.csv --out o.csv",
            "far.csv: row 201: its code is not finite: values up to 1e300 are beyond single precision",
        ),
        (
            "reconstruct net.narrows far.csv --out o.npy",
            "row 201: its reconstruction is not finite: values up to 1e300",
        ),
        ("evaluate net.narrows far.csv", "far.csv: row 201: its error is not finite: values up to 1e300"),
        ("evaluate net.narrows far.csv --json", "row 201"),
        (
            "evaluate pca.narrows far.csv --json",
            "far.csv: row 201: its error is not finite: values up to 1e300 overflow double precision",
        ),
        (
            "interpolate net.narrows far.csv --from-row 1 --to-row 201 --out o.csv",
            "far.csv: row 201: its code is not finite",
        ),
        (
            "decode net.narrows codes.csv --out o.csv",
            "codes.csv: row 2: its decoded row is not finite: values up to 3e38 overflow",
        ),
        (
            "reconstruct same.narrows same.csv --out o.csv",
            "same.csv: row 1: its reconstruction is not finite: values up to 2e100 are beyond single precision",
        ),
    ] {
        let run = place.run(line);
        assert_eq!(
            (run.code, &*run.stdout, run.stderr.lines().count()),
            (1, "", 1),
            "{line}: {}",
            run.stderr
        );
        assert!(run.stderr.contains(says), "{line}: {}", run.stderr);
        assert_eq!(place.list("."), before, "{line}");
    }
    // A PCA in double precision takes what it can express.
    place.ok("encode pca.narrows far.csv --out o.csv");
}

#[test]
fn a_fit_whose_held_out_rows_are_too_large_says_so_and_leaves_its_model() {
    let place = Place::new();
    let rows: String = (0..60).map(|at| format!("{},{},{}\n", at % 7, (at * 5) % 11, at % 3)).collect();
    place.write("rows.csv", format!("a,b,c\n{rows}"));
    place.write("far.csv", format!("a,b,c\n{rows}1e200,1,2\n"));
    let fit = "fit pca rows.csv --code-size 2 --held-out far.csv --out m.narrows --report r";
    let text = place.ok(fit).stdout;
    assert!(!text.contains("NaN") && !text.contains("inf") && text.contains("not finite"), "{text}");
    assert!(text.contains("no verdict") && text.contains("far.csv: row 61"), "{text}");
    let shown = place.ok("show m.narrows").stdout;
    assert!(shown.contains("no verdict") && !shown.contains("NaN"), "{shown}");
    for line in [format!("{fit} --json"), "show m.narrows --json".to_owned()] {
        let done = place.json(&line).pop().unwrap();
        let mut found = Vec::new();
        fields(&done, String::new(), &mut found);
        let nulls: Vec<&str> =
            found.iter().filter(|(_, is_null)| *is_null).map(|(name, _)| &**name).collect();
        // What does not apply to a PCA is null; a number that cannot be said is absent.
        let expected = ["/held_out/bce", "/held_out/bce_floor", "/random_baseline", "/recipe/code_size"];
        assert!(nulls.iter().all(|name| expected.contains(name)), "{nulls:?}");
        assert!(done["held_out"].get("loss").is_none() && done["held_out"]["rows"] == 61, "{done}");
    }
    place.ok("encode m.narrows rows.csv --out c.csv");
}

#[test]
fn names_that_a_spreadsheet_would_run_get_an_apostrophe_where_that_is_asked_for() {
    let place = Place::new();
    place.write("f.csv", "=1+1,@b,\"\t-c\",d\n1,2,-3,4\n2,1,5,3\n3,5,-1,2\n4,4,4,9\n5,1,2,2\n");
    place.write("k.csv", "a,kind\n1,=cmd|'/c calc'!A0\n2,+y\n8,-2\n1,=cmd|'/c calc'!A0\n2,+y\n8,-2\n");
    place.ok("fit pca f.csv --code-size 2 --held-out f.csv --out m.narrows --report r");
    place.ok("fit classifier k.csv --label-column kind --held-out k.csv --layers 1-3 --epochs 2 --out k.narrows --report r");
    let first = |name: &str| {
        let text = String::from_utf8(place.bytes(name)).unwrap();
        text.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    place.ok("reconstruct m.narrows f.csv --out plain.csv");
    place.ok("reconstruct m.narrows f.csv --out safe.csv --safe-csv");
    let (plain, safe) = (first("plain.csv"), first("safe.csv"));
    // The reader trims the tab.
    assert_eq!((&*plain[0], &*safe[0]), ("=1+1,@b,-c,d", "'=1+1,'@b,'-c,d"));
    assert_eq!(plain[1..], safe[1..], "numbers stay as they are");
    assert!(safe.iter().any(|line| line.contains(",-")));
    place.ok("predict k.narrows k.csv --label-column kind --out p.csv --safe-csv");
    let classes: Vec<String> =
        first("p.csv").into_iter().skip(1).map(|line| line.split(',').next().unwrap().to_owned()).collect();
    assert!(
        classes.iter().all(|class| ["'=cmd|'/c calc'!A0", "'+y", "'-2"].contains(&&**class)),
        "{classes:?}"
    );
    for line in [
        "encode m.narrows f.csv --out c.csv --safe-csv",
        "decode m.narrows c.csv --out d.csv --safe-csv",
        "interpolate m.narrows f.csv --from-row 1 --to-row 2 --out i.csv --safe-csv",
    ] {
        place.ok(line);
    }
    for line in [
        "encode m.narrows f.csv --out c.npy --safe-csv",
        "predict k.narrows k.csv --label-column kind --out p.npy --safe-csv",
    ] {
        let run = place.run(line);
        assert!(run.code == 1 && run.stderr.contains("no .csv file"), "{line}: {}", run.stderr);
    }
}

/// Files that are not what their names say, and numbers in forms that are not read: what the line says, and must not say.
#[test]
fn words_name_what_a_file_is_and_what_to_do() {
    let place = Place::new();
    let npy = |rows: &str| {
        let mut header = format!("{{'descr': '<f8', 'fortran_order': False, 'shape': ({rows}), }}");
        header.push_str(&" ".repeat(117 - header.len()));
        header.push('\n');
        [b"\x93NUMPY\x01\x00\x76\x00".as_slice(), header.as_bytes()].concat()
    };
    let cases: &[(&str, Vec<u8>, &str, &str)] = &[
        (
            "either.csv",
            b"a;b\n1,000;5\n2,345;6\n".to_vec(),
            "leave the comma out if it separates thousands",
            "label",
        ),
        ("nul.csv", vec![0; 100], "NUL bytes", "header"),
        ("page.csv", b"<!DOCTYPE html>\n<html><body>a,b</body></html>\n".to_vec(), "an HTML page", "header"),
        ("page2.csv", b"\n<html>\n<body>1,2\n3,4</body></html>".to_vec(), "an HTML page", "header"),
        ("cut.csv", b"{\"a\": [1, 2,".to_vec(), "JSON", "header"),
        ("none.npy", npy("4, 0"), "the rows have no numbers", "no rows"),
        ("none.idx", b"\0\0\x08\x02\0\0\0\x04\0\0\0\0".to_vec(), "the rows have no numbers", "no rows"),
        ("empty.npy", npy("0, 4"), "there are no rows", "numbers"),
        (
            "open.csv",
            b"a,b,kind\n1,2,x\n3,4,\"y\n5,6,x\n7,8,y\n".to_vec(),
            "line 3: a quote opens that does not close",
            "field",
        ),
        (
            "open2.csv",
            b"a,b,kind\n1,2,\"x\n3,4,\"y\"\n5,6,x\n".to_vec(),
            "line 2: a quote opens that ends within line 3",
            "field",
        ),
        ("column.csv", b"x\n1\n\n3\n\n5\n".to_vec(), "line 3, column `x`: the value is missing", "label"),
        ("column2.csv", b"x\r\n1\r\n\r\n3\r\n".to_vec(), "line 3, column `x`: the value is missing", "label"),
    ];
    for (name, bytes, says, not) in cases {
        place.write(name, bytes);
        let run = place.run(&format!("data {name}"));
        let what = run.stderr.replace(name, "FILE");
        assert_eq!((run.code, what.lines().count()), (1, 1), "{name}: {what}");
        assert!(what.contains("FILE: ") && what.contains(says) && !what.contains(not), "{name}: {what}");
    }
    // What would not be rounded is read, and blank lines shift no rows of two columns or behind the last row.
    place.write("exact.csv", "a\n9007199254740994\n-9007199254740992\n10000000000000000000000\n\n\n");
    place.write("two.csv", "a,b\n\n1,2\n\n\n3,4\n");
    assert_eq!(place.json("data exact.csv --json")[0]["most"], 1e22);
    assert_eq!(place.json("data two.csv --json")[0]["rows"], 2);
    // A quoted cell of several lines is one cell.
    place.write("lines-in-cells.csv", "a,b,kind\n1,2,\"x\n, \"\"y\"\"\"\n3,4,z\n");
    assert_eq!(
        place.json("data lines-in-cells.csv --label-column kind --json")[0]["classes"][0]["name"],
        "x\n, \"y\""
    );

    place.write("data.csv", "a,b\n1,2\n3,4\n5,6\n7,8\n");
    for (name, text, says) in [
        ("labels.csv", "kind\nx\n\nx\ny\n", "labels.csv: line 3: a blank line"),
        ("first.csv", "\nx\ny\nx\n", "first.csv: line 1: a blank line"),
        ("open-labels.csv", "x\ny\n\"x\ny\n", "open-labels.csv: line 3: a quote opens"),
    ] {
        place.write(name, text);
        let run = place.run(&format!("data data.csv --labels-file {name}"));
        assert!(run.code == 1 && run.stderr.contains(says), "{name}: {}", run.stderr);
    }
}

#[test]
fn numbers_past_those_of_a_recipe_are_named_with_their_field_and_the_limit() {
    let place = Place::new();
    place.write("a.toml", "method = \"pca\"\ncode_size = 9223372036854775808\n");
    place.write("b.toml", "method = \"autoencoder\"\nencoder = [{ dense = 2 }]\ndecoder = [{ dense = \"input\" }]\n[train]\nepochs = 99_999_999_999_999_999_999\n");
    for (line, says) in [
        ("fit a.toml iris", "a.toml: line 2, column 13: code_size: 9223372036854775808 is past 2^63 - 1"),
        ("fit b.toml iris", "train.epochs: 99_999_999_999_999_999_999 is past 2^63 - 1"),
        (
            "fit single iris --set train.epochs=9223372036854775808",
            "train.epochs: 9223372036854775808 is past 2^63 - 1",
        ),
        (
            "fit single iris --set train.seed=-9223372036854775809",
            "train.seed: -9223372036854775809 is past -2^63",
        ),
        (
            "fit single iris --set encoder=[{dense=99999999999999999999}]",
            "encoder: 99999999999999999999 is past 2^63 - 1",
        ),
    ] {
        let run = place.run(line);
        assert_eq!((run.code, run.stderr.lines().count()), (1, 1), "{line}: {}", run.stderr);
        assert!(run.stderr.contains(says), "{line}: {}", run.stderr);
    }
    // A seed is larger than what TOML can say: JSON says it.
    place.ok("fit single iris --set scale=min_max --epochs 1 --seed 18446744073709551615 --out m.narrows --report r");
    assert_eq!(place.json("show m.narrows --json")[0]["recipe"]["train"]["seed"], u64::MAX);
}

#[test]
fn the_verdict_on_rows_near_1e14_is_true() {
    let place = Place::new();
    for offset in ["100000000000000", "1000000000000000"] {
        let row = |at: usize| {
            let cell = |column: usize| {
                (offset.parse::<i64>().unwrap() + ((at * (column + 3)) % 7) as i64).to_string()
            };
            (0..3).map(cell).collect::<Vec<_>>().join(",") + "\n"
        };
        place.write("far.csv", "a,b,c\n".to_owned() + &(0..60).map(row).collect::<String>());
        let done = place.fit("pca far.csv --set scale=none --held-out far.csv --out m.narrows --report r");
        let verdict = done["verdict"].as_str().unwrap();
        assert!(
            verdict.starts_with("PCA-3 keeps 100.0 % of the variance in 3 of 3 numbers"),
            "{offset}: {verdict}"
        );
    }
}

#[test]
fn bytes_after_a_gzip_file_are_called_that() {
    let place = Place::new();
    let packed = std::fs::read(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../narrows-datasets/data/t10k-labels-idx1-ubyte.gz"
    ))
    .unwrap();
    for (name, bytes, says) in [
        ("a.gz", [&packed[..], b"x"].concat(), "bytes after the end of the gzip data"),
        ("b.gz", [&packed[..], b"\x1f\x8bxxxxxxxxxxxx"].concat(), "bytes after the end of the gzip data"),
        ("c.gz", packed[..packed.len() - 1].to_vec(), "cut short"),
    ] {
        place.write(name, bytes);
        let run = place.run(&format!("data mnist:test --labels-file {name}"));
        assert!(run.code == 1 && run.stderr.contains(says), "{name}: {}", run.stderr);
    }
}

#[test]
fn a_report_that_cannot_be_written_says_where_the_model_is() {
    let place = Place::new();
    let fit = "fit pca iris --code-size 2 --out m.narrows --report";
    place.ok(&format!("{fit} r"));
    let picture = place.list("r").into_iter().find(|name| name != "report.html").unwrap();
    std::fs::remove_file(place.path("m.narrows")).unwrap();
    // No file can take the place of a folder.
    std::fs::create_dir_all(place.path("blocked").join(picture)).unwrap();
    let run = place.run(&format!("{fit} blocked"));
    assert_eq!((run.code, run.stderr.lines().count()), (1, 1), "{}", run.stderr);
    assert!(
        run.stderr.contains("blocked") && run.stderr.contains("the model is saved in m.narrows"),
        "{}",
        run.stderr
    );
    place.ok("show m.narrows");
}
