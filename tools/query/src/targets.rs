//! The files that a statement would write, so that those of the run are left alone where files may be written at all.

use std::path::{Component, Path, PathBuf};

use pipeline::ConfigError;

use crate::tokens::{Kind, Token, tokens};

/// The setting without which DuckDB orders no part of another statement, which a question becomes here.
const ORDER: &str = "preserve_insertion_order";

/// Words between `ATTACH` and the path.
const BEFORE_PATH: [&str; 6] = ["database", "or", "replace", "if", "not", "exists"];

/// Refuses a statement that writes or attaches a file below `run`, that sets something to a path there, such as a log's, and that
/// gives up the order of rows.
///
/// # Errors
/// [`ConfigError`] for such a statement, and for one whose path is not a plain text.
pub(crate) fn check(sql: &str, run: &Path) -> Result<(), ConfigError> {
    let all: Vec<Token> = tokens(sql).collect();
    if all.iter().any(|token| token.is(ORDER)) {
        let message = format!("SQL: {ORDER}: answers keep the order of their rows; leave the setting as it is");
        Err(ConfigError::Unusable(message))?;
    }
    for target in (0..all.len()).flat_map(|index| targets(&all, index)) {
        let path = path(target).ok_or_else(|| {
            ConfigError::Unusable(format!("SQL: expected a path in single quotes, found {}", target.text))
        })?;
        if resolved(&path).starts_with(resolved(run)) {
            let message = format!("SQL: {}: the run's folder is not written by SQL; choose another", path.display());
            Err(ConfigError::Unusable(message))?;
        }
    }
    Ok(())
}

/// What the token at `index` makes DuckDB write to, where it begins such a statement.
fn targets<'t, 'a>(all: &'t [Token<'a>], index: usize) -> Vec<&'t Token<'a>> {
    let (token, rest) = (&all[index], &all[index + 1..]);
    let begins = index == 0 || all[index - 1].kind == Kind::End;
    if token.is("copy") {
        after_to(rest).into_iter().collect()
    } else if token.is("export") {
        rest.iter().find(|token| token.kind == Kind::Text).into_iter().collect()
    } else if token.is("attach") {
        rest.iter().find(|token| !BEFORE_PATH.iter().any(|word| token.is(word))).into_iter().collect()
    } else if begins && (token.is("set") || token.is("pragma")) {
        let statement = rest.iter().take_while(|token| token.kind != Kind::End);
        statement.filter(|token| token.kind == Kind::Text && path(token).is_some()).collect()
    } else {
        Vec::new()
    }
}

/// The token after the `TO` of a `COPY` statement.
fn after_to<'t, 'a>(rest: &'t [Token<'a>]) -> Option<&'t Token<'a>> {
    let mut depth = 0;
    for (index, token) in rest.iter().enumerate() {
        match token.text {
            "(" => depth += 1,
            ")" => depth -= 1,
            _ if depth == 0 && token.is("to") => return rest.get(index + 1),
            _ => {}
        }
    }
    None
}

/// The path that a token spells; `None` for one that is computed or escaped.
fn path(token: &Token) -> Option<PathBuf> {
    let text = match token.kind {
        Kind::Word => token.text.to_string(),
        Kind::Text | Kind::Quoted => {
            let quote = token.text.chars().next().filter(|c| ['\'', '"', '`'].contains(c))?;
            let inner = token.text.strip_prefix(quote)?.strip_suffix(quote)?;
            inner.replace(&format!("{quote}{quote}"), &quote.to_string())
        }
        Kind::End | Kind::Other => return None,
    };
    let text = text.strip_prefix("file://").or_else(|| text.strip_prefix("file:")).unwrap_or(&text);
    Some(match (text.strip_prefix("~/"), std::env::var_os("HOME")) {
        (Some(rest), Some(home)) => Path::new(&home).join(rest),
        _ => text.into(),
    })
}

/// The path from the root, without `.` and `..`, links followed as far as it exists.
fn resolved(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let mut resolved = PathBuf::new();
    for component in absolute.components() {
        match component {
            Component::ParentDir => {
                resolved.pop();
            }
            Component::CurDir => {}
            part => {
                resolved.push(part);
                resolved = resolved.canonicalize().unwrap_or(resolved);
            }
        }
    }
    resolved
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_into_the_run_are_refused_however_they_are_spelled() {
        let root = tempfile::tempdir().unwrap();
        let run = root.path().join("r");
        std::fs::create_dir_all(run.join("ingest")).unwrap();
        std::os::unix::fs::symlink(&run, root.path().join("link")).unwrap();
        let root = root.path().display().to_string();
        for target in ["r/x.csv", "r/ingest/x.csv", "r/new/x", "q/../r/x", "./r/./x", "link/x", "link/ingest/../x"] {
            for sql in [
                format!("copy (select 1 as \"to\") to '{root}/{target}'"),
                format!("COPY t TO 'file://{root}/{target}' (FORMAT parquet)"),
                format!("prepare p as copy t to '{root}/{target}'"),
                format!("with x as (copy (select 1) to '{root}/{target}') from x"),
                format!("export database '{root}/{target}' (format csv)"),
                format!("attach if not exists '{root}/{target}' as d"),
                format!("select 1; set global log_query_path = '{root}/{target}'"),
                format!("pragma profiling_output = '{root}/{target}'"),
            ] {
                let error = check(&sql, &run).unwrap_err().to_string();
                assert!(error.contains("the run's folder is not written"), "{sql}: {error}");
            }
        }
        for sql in [
            "attach ('a' || 'b') as d",
            "copy t to ('a' || 'b')",
            "copy t to e'a'",
            "prepare p as copy t to $1",
            "copy t to $$x$$",
        ] {
            assert!(check(sql, &run).unwrap_err().to_string().contains("path in single quotes"), "{sql}");
        }
        for sql in [
            format!("copy t to '{root}/x.csv'"),
            format!("copy t from '{root}/r/x.csv'"),
            format!("copy (select 'it''s to {root}/r') to '{root}/rx'"),
            format!("select 'copy t to ''{root}/r/x'''"),
            "select copy, to from t".into(),
            "attach ':memory:' as m".into(),
            format!("update t set x = '{root}/r/x'"),
            "set default_order = 'desc'".into(),
        ] {
            check(&sql, &run).unwrap();
        }
    }

    #[test]
    fn the_order_of_rows_is_not_given_up() {
        let run = Path::new("/nowhere");
        let error = check("SET Preserve_Insertion_Order = false", run).unwrap_err().to_string();
        assert!(error.contains("answers keep the order of their rows"), "{error}");
        check("select 'preserve_insertion_order'", run).unwrap();
    }
}
