//! `serve --config FILE`: the options of `gazelle serve` as keys of a TOML file, and models with options of
//! their own.
//!
//! A key is the long name of an option; those of models stand at the top for all models, or in a `[[model]]`
//! for one. What the command line says goes before the file. Each value is checked by the option itself, so
//! that the file can say what the command line can, and nothing else.

use std::any::TypeId;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::error::{ContextKind, ContextValue};
use clap::parser::ValueSource;
use clap::{ArgMatches, Args, Command, FromArgMatches};
use toml::{Table, Value};

use super::{ModelOrder, Serve, ServedSettings};
use crate::failure::Failure;

/// Bytes of such a file at most.
const LARGEST: u64 = 1 << 20;

/// What `gazelle serve` is to do.
#[derive(Debug, Clone)]
pub(crate) struct ServeOrders {
    /// What counts for the process.
    pub(crate) server: Serve,
    pub(crate) models: Vec<ModelOrder>,
    /// What the command line says beside `--config`.
    typed: Vec<OsString>,
}

impl ServeOrders {
    /// Of a command line; `matches` are the subcommand's.
    ///
    /// # Errors
    /// [`Failure`] names the file and the key.
    pub(crate) fn new(serve: &Serve, matches: &ArgMatches) -> Result<Self, Failure> {
        if let Some(file) = &serve.config {
            return Self::read(file, words(&server_command(), matches));
        }
        if serve.settings.model_name.is_some() && serve.models.len() > 1 {
            return Err(Failure::Usage(
                "--model-name is for one model: model.toml names each, or serve --config".into(),
            ));
        }
        let order =
            |path: &PathBuf| ModelOrder { path: path.clone(), settings: serve.settings.clone() };
        let models = serve.models.iter().map(order).collect();
        Ok(Self { server: serve.clone(), models, typed: Vec::new() })
    }

    /// The same from what the file says by now.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub(crate) fn again(&self) -> Result<Self, Failure> {
        match &self.server.config {
            Some(file) => Self::read(file, self.typed.clone()),
            None => Ok(self.clone()),
        }
    }

    fn read(file: &Path, typed: Vec<OsString>) -> Result<Self, Failure> {
        let fail = |error: String| Failure::Run(format!("{}: {error}", file.display()));
        let text = std::fs::metadata(file).and_then(|metadata| {
            if metadata.len() > LARGEST {
                return Err(std::io::Error::other("more than 1 MiB"));
            }
            std::fs::read_to_string(file)
        });
        let text = text.map_err(|error| fail(error.to_string()))?;
        // optional: a name without a folder lies in this one
        let folder = file.parent().unwrap_or(Path::new(""));
        let (server, models) = parse(&text, file, folder, &typed).map_err(fail)?;
        Ok(Self { server, models, typed })
    }
}

fn server_command() -> Command {
    Serve::augment_args(Command::new("serve")).no_binary_name(true).args_override_self(true)
}

fn model_command() -> Command {
    ServedSettings::augment_args(Command::new("model"))
        .no_binary_name(true)
        .args_override_self(true)
}

/// The options of `command` that were typed, as words of a command line.
fn words(command: &Command, matches: &ArgMatches) -> Vec<OsString> {
    let mut words = Vec::new();
    for argument in command.get_arguments() {
        let id = argument.get_id().as_str();
        let (Some(long), false) = (argument.get_long(), id == "config") else { continue };
        if matches.value_source(id) != Some(ValueSource::CommandLine) {
            continue;
        }
        if argument.get_action().takes_values() {
            for value in matches.get_raw(id).into_iter().flatten() {
                words.push(word(long, value));
            }
        } else {
            words.push(format!("--{long}").into());
        }
    }
    words
}

fn word(long: &str, value: &std::ffi::OsStr) -> OsString {
    let mut word = OsString::from(format!("--{long}="));
    word.push(value);
    word
}

/// The server's options and the models of a file's text.
fn parse(
    text: &str,
    file: &Path,
    folder: &Path,
    typed: &[OsString],
) -> Result<(Serve, Vec<ModelOrder>), String> {
    let mut table: Table = toml::from_str(text).map_err(|error| error.to_string())?;
    let models = match table.remove("model") {
        Some(Value::Array(models)) if !models.is_empty() => models,
        Some(_) => return Err("key \"model\": one or more tables, [[model]]".into()),
        None => return Err("no [[model]] with its `file`".into()),
    };
    let (command, own) = (server_command(), model_command());
    let mut all = table_words(&table, &command, folder)?;
    // What counts for all models, by the file and by the command line.
    let of_models = |words: &[OsString]| -> Vec<OsString> {
        let is_own = |word: &&OsString| {
            let text = word.to_string_lossy();
            let name = text.trim_start_matches("--").split('=').next();
            own.get_arguments().any(|argument| argument.get_long() == name)
        };
        words.iter().filter(is_own).cloned().collect()
    };
    let (shared, typed_of_models) = (of_models(&all), of_models(typed));
    all.extend_from_slice(typed);
    all.push(word("config", file.as_os_str()));
    let server = parsed::<Serve>(command, all)?;
    let mut orders = Vec::with_capacity(models.len());
    for (index, model) in models.into_iter().enumerate() {
        let fail = |why: String| format!("model {}: {why}", index + 1);
        let Value::Table(mut model) = model else {
            return Err(fail("a table [[model]]".into()));
        };
        let path = match model.remove("file") {
            Some(Value::String(path)) if !path.is_empty() => folder.join(path),
            Some(_) => return Err(fail("key \"file\": a path".into())),
            None => return Err(fail("key \"file\" is missing".into())),
        };
        let mut words = shared.clone();
        words.extend(table_words(&model, &own, folder).map_err(fail)?);
        words.extend_from_slice(&typed_of_models);
        let settings = parsed::<ServedSettings>(own.clone(), words).map_err(fail)?;
        orders.push(ModelOrder { path, settings });
    }
    Ok((server, orders))
}

/// A table's keys as words of a command line; paths are relative to `folder`.
fn table_words(table: &Table, command: &Command, folder: &Path) -> Result<Vec<OsString>, String> {
    let mut words = Vec::new();
    for (key, value) in table {
        let known = |argument: &&clap::Arg| argument.get_long() == Some(key) && key != "config";
        let argument = command.get_arguments().find(known);
        let argument = argument.ok_or_else(|| format!("unknown key {key:?}"))?;
        if !argument.get_action().takes_values() {
            match value {
                Value::Boolean(true) => words.push(format!("--{key}").into()),
                Value::Boolean(false) => {}
                _ => return Err(format!("key {key:?}: true or false")),
            }
            continue;
        }
        let many = matches!(argument.get_action(), clap::ArgAction::Append);
        let values = match value {
            Value::Array(values) if many => values.as_slice(),
            value => std::slice::from_ref(value),
        };
        let is_path = argument.get_value_parser().type_id() == TypeId::of::<PathBuf>();
        for value in values {
            let text = match value {
                Value::String(text) if is_path => folder.join(text).into_os_string(),
                Value::String(text) => text.into(),
                Value::Integer(number) if !is_path => number.to_string().into(),
                Value::Float(number) if !is_path => number.to_string().into(),
                _ => return Err(format!("key {key:?}: not a value of this option")),
            };
            words.push(word(key, &text));
        }
    }
    Ok(words)
}

fn parsed<T: FromArgMatches>(command: Command, words: Vec<OsString>) -> Result<T, String> {
    let matches = command.try_get_matches_from(words);
    matches.and_then(|matches| T::from_arg_matches(&matches)).map_err(|error| told(&error))
}

/// What is wrong with which key.
fn told(error: &clap::Error) -> String {
    let context = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    let key = context(ContextKind::InvalidArg).and_then(|argument| {
        argument.trim_start_matches("--").split([' ', '=']).next().map(str::to_owned)
    });
    let why = std::error::Error::source(error).map(ToString::to_string);
    match (key, context(ContextKind::InvalidValue), why) {
        (Some(key), Some(value), Some(why)) => format!("key {key:?}: {value:?}: {why}"),
        (Some(key), Some(value), None) => {
            let all = match error.get(ContextKind::ValidValue) {
                Some(ContextValue::Strings(all)) => format!(": one of {}", all.join(", ")),
                _ => String::new(),
            };
            format!("key {key:?}: {value:?} is no value of it{all}")
        }
        (key, ..) => {
            let text = error.to_string();
            // optional: an error has a first line
            let line = text.lines().next().unwrap_or_default();
            let line = line.trim_start_matches("error: ");
            key.map_or_else(|| line.to_owned(), |key| format!("key {key:?}: {line}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::arguments::{Arguments, Backend, RoundingArgument};

    fn read(text: &str) -> Result<(Serve, Vec<ModelOrder>), String> {
        parse(text, Path::new("/etc/g/serve.toml"), Path::new("/etc/g"), &[])
    }

    #[test]
    fn models_have_settings_of_their_own_above_those_of_all() {
        let (server, models) = read(
            "listen = \"0.0.0.0:1\"\nsessions = 9\nper-day = 7\nrounding = \"local\"\ninsecure = true\n\
             once = false\nstore = \"kept\"\n\
             [[model]]\nfile = \"a.onnx\"\nper-day = 3\nresolution = 0.0625\nbackend = \"gmw\"\n\
             calibration = [\"x\", \"/y\"]\n\
             [[model]]\nfile = \"/m/b.onnx\"\nrounding = \"exact\"\nmodel-name = \"b\"\n",
        )
        .unwrap();
        assert_eq!((server.listen.as_str(), server.sessions), ("0.0.0.0:1", 9));
        assert!(server.link_layer.insecure && !server.once);
        assert_eq!(server.store.as_deref(), Some(Path::new("/etc/g/kept")));
        let [a, b] = models.as_slice() else { panic!("{models:?}") };
        assert_eq!((a.path.as_path(), a.settings.per_day), (Path::new("/etc/g/a.onnx"), Some(3)));
        assert_eq!(
            (a.settings.model.resolution, a.settings.model.backend),
            (Some(4), Backend::Gmw)
        );
        let calibration = [PathBuf::from("/etc/g/x"), PathBuf::from("/y")];
        assert_eq!(a.settings.model.calibration, calibration);
        assert_eq!(a.settings.model.rounding, RoundingArgument::Local);
        assert_eq!((b.path.as_path(), b.settings.per_day), (Path::new("/m/b.onnx"), Some(7)));
        assert_eq!(b.settings.model.rounding, RoundingArgument::Exact);
        assert_eq!(b.settings.model_name.as_deref(), Some("b"));
    }

    #[test]
    fn adversarial_errors_name_the_key() {
        let model = "[[model]]\nfile = \"a.onnx\"\n";
        for (text, named) in [
            (format!("sesions = 3\n{model}"), "sesions"),
            (format!("per-minute = 0\n{model}"), "per-minute"),
            (format!("sessions = 0\n{model}"), "sessions"),
            (format!("offline-nice = 20\n{model}"), "offline-nice"),
            (format!("{model}offline-nice = 3\n"), "model 1: unknown key \"offline-nice\""),
            (format!("once = 1\n{model}"), "once"),
            (format!("listen = [\"a\", \"b\"]\n{model}"), "listen"),
            (format!("store = 3\n{model}"), "store"),
            (format!("config = \"x\"\n{model}"), "config"),
            (format!("insecure = true\nidentity = \"x\"\n{model}"), "insecure"),
            (format!("{model}backend = \"gmv\"\n"), "backend"),
            (format!("{model}listen = \"x\"\n"), "model 1: unknown key \"listen\""),
            (format!("{model}{model}per-day = \"x\"\n"), "model 2: key \"per-day\""),
            ("[[model]]\nper-day = 3\n".into(), "file"),
            ("model = 3\n".into(), "model"),
            ("sessions = 3\n".into(), "[[model]]"),
            (format!("sessions 3\n{model}"), "line 1"),
        ] {
            let error = read(&text).map(|_| ()).unwrap_err();
            assert!(error.contains(named), "{named}: {error}");
        }
    }

    #[test]
    fn every_option_of_serve_is_a_key_and_the_command_line_goes_first() {
        for argument in server_command().get_arguments() {
            let Some(long) = argument.get_long().filter(|long| *long != "config") else { continue };
            let error = read(&format!("{long} = {{ a = 1 }}\n[[model]]\nfile = \"a\"\n"));
            let error = error.map(|_| ()).unwrap_err();
            assert!(error.contains(long) && !error.contains("unknown"), "{error}");
        }
        let folder = std::env::temp_dir().join(format!("gazelle-toml-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join("serve.toml");
        std::fs::write(&file, "sessions = 3\nwait = 5\n[[model]]\nfile = \"a\"\nper-day = 2\n")
            .unwrap();
        let line = ["gazelle", "serve", "--quiet", "--config", file.to_str().unwrap()];
        let line = line.iter().copied().chain(["--sessions", "8", "--per-day=9", "--once"]);
        let matches = <Arguments as clap::CommandFactory>::command().get_matches_from(line);
        let (_, matches) = matches.subcommand().unwrap();
        let serve = Serve::from_arg_matches(matches).unwrap();
        let orders = ServeOrders::new(&serve, matches).unwrap();
        assert_eq!((orders.server.sessions, orders.server.wait), (8, 5));
        assert!(orders.server.once);
        assert_eq!(orders.models.first().unwrap().settings.per_day, Some(9));
        std::fs::write(&file, "[[model]]\nfile = \"b\"\n").unwrap();
        let again = orders.again().unwrap();
        assert_eq!(again.models.first().unwrap().path, folder.join("b"));
        assert_eq!(again.server.sessions, 8);
        std::fs::remove_dir_all(&folder).unwrap();
        // Models are named in one way.
        let both = ["gazelle", "serve", "a.onnx", "--config", "x"];
        assert!(Arguments::try_parse_from(both).is_err());
        assert!(Arguments::try_parse_from(["gazelle", "serve"]).is_err());
    }
}
