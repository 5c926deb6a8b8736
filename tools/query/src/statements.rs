//! Where one SQL statement ends and the next begins.

/// The statements of `sql`, without their semicolons; empty ones and those of comments alone are left out.
pub(crate) fn split(sql: &str) -> Vec<&str> {
    let mut statements = Vec::new();
    let mut rest = sql;
    while let Some(end) = first_end(rest) {
        statements.push(&rest[..end]);
        rest = &rest[end + 1..];
    }
    statements.push(rest);
    statements.retain(|statement| !is_blank(statement));
    statements
}

/// True if `sql` ends with a statement's semicolon, followed by white space and comments at most.
pub(crate) fn is_complete(sql: &str) -> bool {
    let mut rest = sql;
    let mut ended = false;
    while let Some(end) = first_end(rest) {
        rest = &rest[end + 1..];
        ended = true;
    }
    ended && is_blank(rest)
}

/// Byte index of the first semicolon outside of quotes and comments.
fn first_end(sql: &str) -> Option<usize> {
    let mut at = 0;
    while let Some(c) = sql[at..].chars().next() {
        if c == ';' {
            return Some(at);
        }
        at += opaque_length(&sql[at..]).unwrap_or(c.len_utf8());
    }
    None
}

/// True if `sql` holds nothing but white space and comments.
pub(crate) fn is_blank(sql: &str) -> bool {
    let mut rest = sql.trim_start();
    while rest.starts_with("--") || rest.starts_with("/*") {
        rest = rest[opaque_length(rest).unwrap_or(rest.len())..].trim_start();
    }
    rest.is_empty()
}

/// Length of the quoted text or comment that `sql` begins with; one that is not closed takes all of it.
fn opaque_length(sql: &str) -> Option<usize> {
    if sql.starts_with("--") {
        return Some(sql.find('\n').map_or(sql.len(), |at| at + 1));
    }
    let (open, close) = if sql.starts_with("/*") {
        ("/*", "*/")
    } else if sql.starts_with('\'') {
        ("'", "'")
    } else if sql.starts_with('"') {
        ("\"", "\"")
    } else {
        let tag = dollar_tag(sql)?;
        (tag, tag)
    };
    // A doubled quote closes one text and opens the next, which comes to the same end.
    let closing = sql[open.len()..].find(close);
    Some(closing.map_or(sql.len(), |at| open.len() + at + close.len()))
}

/// The opening `$$` or `$name$` of a dollar-quoted text.
fn dollar_tag(sql: &str) -> Option<&str> {
    let end = sql.strip_prefix('$')?.find('$')? + 2;
    let name = &sql[1..end - 1];
    let letters = |c: char| c.is_alphanumeric() || c == '_';
    (name.chars().all(letters) && !name.starts_with(|c: char| c.is_ascii_digit())).then_some(&sql[..end])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn semicolons_in_quotes_and_comments_end_nothing() {
        let sql = "select ';', \"a;b\" -- ; not here\n, 'it''s;'; /* ; */ ;; select $t$ ; $t$, $$;$$ ";
        let expected = ["select ';', \"a;b\" -- ; not here\n, 'it''s;'", " select $t$ ; $t$, $$;$$ "];
        assert_eq!(split(sql), expected);
    }

    #[test]
    fn a_statement_is_complete_at_its_semicolon() {
        for complete in ["select 1;", "select 1; -- done", "select ';' ;\n", ";"] {
            assert!(is_complete(complete), "{complete}");
        }
        for open in ["", "select 1", "select ';", "select 1; select 2", "-- ;", "/* ;"] {
            assert!(!is_complete(open), "{open}");
        }
    }

    proptest! {
        #[test]
        fn statements_joined_by_semicolons_split_again(
            parts in prop::collection::vec("[a-z]( |'[;a-z]*'|\"[;a-z]*\"|/[*][;a-z]*[*]/|--[;a-z]*\n|[a-z0-9é]){0,6}", 1..6)
        ) {
            let sql = parts.join(";");
            prop_assert_eq!(split(&sql), parts);
        }

        #[test]
        fn any_text_is_split_without_loss(sql in "[-a;'\"$/*\n é]{0,40}") {
            let total: usize = split(&sql).iter().map(|statement| statement.len()).sum();
            prop_assert!(total <= sql.len());
        }
    }
}
