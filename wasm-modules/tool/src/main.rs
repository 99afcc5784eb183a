//! Assembles the test fixtures: `fixture-tool SOURCE_FOLDER TARGET_FOLDER [--large]`.
//!
//! Every `NAME.wat` becomes `NAME.wasm`; `locals_bomb` is generated because no text form of it stays readable, and
//! `huge_function` (over 1 MiB, with `--large` only) because it has no place in a repository. It checks nothing: some
//! fixtures are broken on purpose.

mod generated;

use std::{env, error::Error, ffi::OsStr, fs, path::Path, process::ExitCode};

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let result = match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [from, to] => run(Path::new(from), Path::new(to), false),
        [from, to, "--large"] => run(Path::new(from), Path::new(to), true),
        _ => Err("usage: fixture-tool SOURCE_FOLDER TARGET_FOLDER [--large]".into()),
    };
    if let Err(error) = &result {
        eprintln!("fixture-tool: {error}");
    }
    ExitCode::from(u8::from(result.is_err()))
}

fn run(from: &Path, to: &Path, large: bool) -> Result<(), Box<dyn Error>> {
    fs::create_dir_all(to)?;
    let mut sources: Vec<_> = fs::read_dir(from)?.map(|e| e.map(|e| e.path())).collect::<Result<_, _>>()?;
    sources.sort();
    for source in sources.iter().filter(|p| p.extension() == Some(OsStr::new("wat"))) {
        let text = fs::read_to_string(source)?;
        // Given as text, not as a path: an error then names the file without the folder it was built in.
        let name = source.file_stem().unwrap_or_default();
        let bytes = wat::parse_str(&text).map_err(|e| format!("{}: {e}", name.to_string_lossy()))?;
        fs::write(to.join(name).with_extension("wasm"), bytes)?;
    }
    fs::write(to.join("locals_bomb.wasm"), generated::locals_bomb())?;
    if large {
        fs::write(to.join("huge_function.wasm"), generated::huge_function())?;
    }
    Ok(())
}
