//! Where one SQL statement ends and the next begins, and the shell's own commands between them.

use crate::tokens::{Kind, tokens};

/// A piece of a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Piece<'a> {
    /// A statement without its semicolon, and the line of its first token, from 1.
    Statement { sql: &'a str, line: usize },
    /// A line that begins with a dot where a statement could begin.
    Command(&'a str),
}

impl Piece<'_> {
    /// Where it stands, the piece of this index, for error messages.
    pub(crate) fn place(&self, index: usize) -> String {
        match self {
            Piece::Statement { line, .. } => format!("statement {}, line {line}", index + 1),
            Piece::Command(_) => format!("statement {}", index + 1),
        }
    }
}

/// The statements and commands of `script`; statements of comments alone are left out.
pub(crate) fn split(script: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut from = 0;
    while let Some(first) = tokens(&script[from..]).next() {
        let start = from + first.at;
        let rest = &script[start..];
        if first.text.starts_with('.') {
            let end = rest.find('\n').unwrap_or(rest.len());
            pieces.push(Piece::Command(rest[..end].trim()));
            from = start + end;
            continue;
        }
        let end = tokens(rest).find(|token| token.kind == Kind::End);
        let sql = rest[..end.map_or(rest.len(), |end| end.at)].trim_end();
        if !sql.is_empty() {
            let line = 1 + script[..start].matches('\n').count();
            pieces.push(Piece::Statement { sql, line });
        }
        from = start + end.map_or(rest.len(), |end| end.at + 1);
    }
    pieces
}

/// True if `input` is a command, or ends with a statement's semicolon, followed by white space and comments at most.
pub(crate) fn is_complete(input: &str) -> bool {
    if matches!(split(input).last(), Some(Piece::Command(_))) {
        return true;
    }
    let mut all = tokens(input);
    let ended = all.by_ref().last().is_some_and(|token| token.kind == Kind::End);
    ended && !all.ends_in_comment()
}

/// True if `input` holds nothing but white space and finished comments.
pub(crate) fn is_blank(input: &str) -> bool {
    let mut all = tokens(input);
    all.by_ref().next().is_none() && !all.ends_in_comment()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn statements(script: &str) -> Vec<&str> {
        let sql = |piece| if let Piece::Statement { sql, .. } = piece { Some(sql) } else { None };
        split(script).into_iter().filter_map(sql).collect()
    }

    #[test]
    fn semicolons_in_quotes_and_comments_end_nothing() {
        let sql = "select ';', \"a;b\" -- ; not here\n, 'it''s;'; /* ; */ ;; select $t$ ; $t$, $$;$$ ";
        let expected = ["select ';', \"a;b\" -- ; not here\n, 'it''s;'", "select $t$ ; $t$, $$;$$"];
        assert_eq!(statements(sql), expected);
    }

    #[test]
    fn pieces_know_their_lines_and_commands_end_with_theirs() {
        let script = "-- first\nselect 1;\n\n.schema runs; x\n  .tables\nselect\n.5; select 3";
        let expected = [
            Piece::Statement { sql: "select 1", line: 2 },
            Piece::Command(".schema runs; x"),
            Piece::Command(".tables"),
            Piece::Statement { sql: "select\n.5", line: 6 },
            Piece::Statement { sql: "select 3", line: 7 },
        ];
        assert_eq!(split(script), expected);
    }

    #[test]
    fn a_statement_is_complete_at_its_semicolon() {
        for complete in ["select 1;", "select 1; -- done", "select ';' ;\n", ";", ".tables", "select 1; .quit"] {
            assert!(is_complete(complete), "{complete}");
        }
        for open in ["", "select 1", "select ';", "select 1; select 2", "-- ;", "/* ;", "select 1; /* "] {
            assert!(!is_complete(open), "{open}");
        }
        assert!(is_blank(" -- x\n /* y */ ") && !is_blank("/* y") && !is_blank(";"));
    }

    proptest! {
        #[test]
        fn statements_joined_by_semicolons_split_again(
            parts in prop::collection::vec("[a-z]( |'[;a-z]*'|\"[;a-z]*\"|/[*][;a-z]*[*]/|--[;a-z]*\n|[a-z0-9é]){0,6}[a-z]", 1..6)
        ) {
            let sql = parts.join(";");
            prop_assert_eq!(statements(&sql), parts);
        }

        #[test]
        fn any_text_is_split_without_loss(sql in "[-a;'\"$/*\n é.e\\\\0]{0,40}") {
            let total: usize = statements(&sql).iter().map(|statement| statement.len()).sum();
            prop_assert!(total <= sql.len());
            is_complete(&sql);
        }
    }
}
