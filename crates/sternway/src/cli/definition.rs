//! An application's definition as TOML, so that it can live in a repository: written by `adopt`, read by `apply`.

use domain::application::Application;

use crate::{
    client::problem::{Failure, FieldError},
    exit::Exit,
    out::one_line,
};

/// Widest comment line.
const COMMENT_CHARS_MAX: usize = 98;

/// The definition as TOML, with what was understood as comments on top.
///
/// # Errors
/// When it can not be written as TOML.
pub fn write(application: &Application, notes: &[String]) -> Result<String, Failure> {
    let body = toml::to_string(application).map_err(|error| {
        Failure::new(
            Exit::Internal,
            format!("the definition can not be written as TOML: {error}"),
            &[],
        )
    })?;
    let mut text = String::from(
        "# What Sternway understood of the running project. Read it, correct it, then:\n",
    );
    text.push_str("#   sternway apply -f THIS_FILE\n#\n");
    for line in understood(application).iter().chain(notes) {
        comment(&mut text, line);
    }
    text.push('\n');
    text.push_str(&body);
    Ok(text)
}

/// What was found of each component, and what was not.
fn understood(application: &Application) -> Vec<String> {
    let mut lines = Vec::new();
    for component in &application.components {
        let name = &component.name;
        match &component.version_endpoint {
            Some(endpoint) => lines.push(format!(
                "{name}: says its version at :{}{}.",
                endpoint.port, endpoint.path
            )),
            None => lines.push(format!(
                "{name}: no version endpoint; its version is proved by the image's digest alone."
            )),
        }
        match component.probes.len() {
            0 => lines.push(format!(
                "{name}: no probe could be guessed; it counts as serving when it runs and Docker's own health check, if any, is green."
            )),
            1 => lines.push(format!("{name}: 1 probe was guessed from what answered.")),
            count => lines.push(format!("{name}: {count} probes were guessed from what answered.")),
        }
    }
    lines.push(format!(
        "The environment is taken to be `{}`, and the probes must stay green for {} s after a rollback.",
        application.environment, application.watch_window_s
    ));
    lines
}

/// One note as comment lines of a readable width.
fn comment(text: &mut String, note: &str) {
    let mut line = String::from("# -");
    for word in one_line(note).split(' ') {
        if line.chars().count() + word.chars().count() >= COMMENT_CHARS_MAX {
            text.push_str(&line);
            text.push('\n');
            line = String::from("#  ");
        }
        line.push(' ');
        line.push_str(word);
    }
    text.push_str(&line);
    text.push('\n');
}

/// The definition in a TOML text; every rule that it breaks, not only the first.
///
/// # Errors
/// What is wrong with it.
pub fn read(text: &str) -> Result<Application, Failure> {
    let next = "correct the definition and apply it again; `sternway adopt PROJECT` prints one that is right";
    let application: Application = toml::from_str(text).map_err(|error| {
        let place = error.span().map_or(String::new(), |span| {
            format!("line {}: ", line_of(text, span.start))
        });
        Failure::new(
            Exit::Usage,
            format!(
                "the definition is not understood: {place}{}",
                plainly(error.message())
            ),
            &[next],
        )
    })?;
    application.check().map_err(|bad| {
        let mut failure = Failure::new(Exit::Usage, "the definition breaks rules", &[next]);
        failure.problem.errors = bad
            .into_iter()
            .map(|bad| FieldError {
                field: bad.field,
                what: bad.what,
            })
            .collect();
        failure
    })?;
    Ok(application)
}

/// A parser's words without the names of Rust's numbers.
fn plainly(message: &str) -> String {
    ["u8", "u16", "u32", "u64", "i64"]
        .iter()
        .fold(message.to_owned(), |text, number| {
            text.replace(&format!("expected {number}"), "expected a whole number")
        })
}

fn line_of(text: &str, offset: usize) -> usize {
    text.bytes()
        .take(offset)
        .filter(|byte| *byte == b'\n')
        .count()
        + 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::out::Paint;

    fn shop() -> Application {
        serde_json::from_value(serde_json::json!({
            "name": "shop", "environment": "production", "project": "shop", "watch_window_s": 5, "approval": true,
            "compose": {"folder": "/srv/shop", "files": ["compose.yml"], "pin": {"env": "VERSION"}},
            "probes": [{"url": "http://127.0.0.1:18080/", "status": 200}],
            "components": [
                {"name": "api", "version_endpoint": {"port": 8080, "path": "/api/version", "field": "version"},
                 "probes": [{"kind": "http", "port": 8080, "path": "/health", "contains": "\"ok\" \\ # and\nso on"}, {"kind": "tcp", "port": 8080}]},
                {"name": "worker", "after": ["api"]}
            ]
        }))
        .unwrap()
    }

    #[test]
    fn what_adopt_prints_apply_takes_back() {
        let notes = [
            "api: 2 replicas, ports 8080 and 8081 \u{1b}[31m".to_owned(),
            "a ".repeat(90),
        ];
        let text = write(&shop(), &notes).unwrap();
        assert_eq!(read(&text).unwrap(), shop(), "{text}");
        assert!(
            text.contains("# - api: 2 replicas, ports 8080 and 8081\n"),
            "{text}"
        );
        assert!(
            text.contains("# - worker: no probe could be guessed;"),
            "{text}"
        );
        assert!(
            text.lines()
                .filter(|line| line.starts_with('#'))
                .all(|line| line.chars().count() <= COMMENT_CHARS_MAX),
            "{text}"
        );
    }

    #[test]
    fn plain_containers_come_back_too() {
        let mut plain = shop();
        plain.project = None;
        plain.compose = None;
        plain.components.truncate(1);
        plain.components[0].containers = vec!["web-1".to_owned()];
        assert_eq!(read(&write(&plain, &[]).unwrap()).unwrap(), plain);
    }

    #[test]
    fn a_mistake_is_named_with_its_line() {
        let text = write(&shop(), &[])
            .unwrap()
            .replace("watch_window_s = 5", "watch_windows = 5");
        let said = read(&text).unwrap_err().render(Paint::default());
        assert!(
            said.contains("watch_windows") && said.contains("line "),
            "{said}"
        );
        let text = write(&shop(), &[])
            .unwrap()
            .replace("watch_window_s = 5", "watch_window_s = \"5 s\"");
        let said = read(&text).unwrap_err().render(Paint::default());
        assert!(
            said.contains("whole number") && !said.contains("u32"),
            "{said}"
        );
        let text = write(&shop(), &[]).unwrap().replace("/health", "health");
        let said = read(&text).unwrap_err().render(Paint::default());
        assert!(
            said.contains("components[0].probes[0].path: start with `/`"),
            "{said}"
        );
    }
}
