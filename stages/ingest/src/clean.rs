//! From the events of a group to searches and their results: what belongs to one search, and what is one result.
//!
//! A search is a search id within a session and for one query; where ids repeat in several sessions or for several queries,
//! each has its own search. Without an id, it is a query of a visitor, up to a gap in time. What an event does not say is
//! taken from its search: the query, the session, and of a click the position of the document.

use std::cmp::Reverse;

use crate::event::Event;
use crate::segment::EMPTY_QUERY;

/// A click, or another event that says more about a result, is merged into it.
pub(crate) const MERGED: &str = "event of a result that has another row";
/// The same result of the same search once more, without a click.
pub(crate) const REPEATED: &str = "result of a search logged again";
pub(crate) const NO_DOCUMENT: &str = "record of a search without a document";
const UNKNOWN_DOCUMENT: &str = "document not in the document table";
const NO_IMPRESSION: &str = "click without a position or an impression of its document";
const SEVERAL_SEARCHES: &str = "click that does not tell which of several searches it belongs to";

/// The longest time between a page and a click that does not name it, in microseconds.
const DAY: i64 = 24 * 60 * 60 * 1_000_000;

/// An event with its file and with the numbers of the whole log.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row<'a> {
    pub(crate) event: Event<'a>,
    pub(crate) file: u32,
    /// True if the event names a document that the document table does not have.
    pub(crate) unknown_document: bool,
}

/// A shown result: one row of `impressions`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Shown {
    pub(crate) row: usize,
    pub(crate) document: u32,
    pub(crate) position: i32,
    pub(crate) clicked: bool,
    pub(crate) dwell_seconds: Option<f64>,
    pub(crate) shown_at: Option<i64>,
}

/// A search and its results.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Search<'a> {
    pub(crate) id: String,
    pub(crate) session: String,
    pub(crate) user: Option<&'a str>,
    pub(crate) query: u32,
    /// By position and document.
    pub(crate) shown: Vec<Shown>,
}

/// Rows of a group that are not results of their own, each with the reason.
pub(crate) type Others = Vec<(usize, &'static str)>;

/// Divides the rows of one group, which have one search id or one visitor, into searches. `query_id` is a short text for a
/// query, and `gap` the longest time within a search without an id, in microseconds.
pub(crate) fn searches<'a>(rows: &[Row<'a>], gap: i64, query_id: impl Fn(u32) -> String) -> (Vec<Search<'a>>, Others) {
    let mut others = Others::new();
    let mut members: Vec<usize> = Vec::with_capacity(rows.len());
    for (at, row) in rows.iter().enumerate() {
        if row.unknown_document { others.push((at, UNKNOWN_DOCUMENT)) } else { members.push(at) }
    }
    let groups = match rows.first().map(|row| (row.event.search, row.event.session.or(row.event.user))) {
        Some((Some(search), _)) => by_id(rows, &members, search, gap, &query_id, &mut others),
        Some((None, Some(visitor))) => by_time(rows, &members, visitor, gap, &query_id, &mut others),
        _ => alone(rows, &members, &query_id, &mut others),
    };
    let merged = groups.into_iter().map(|group| merge(rows, group, &mut others));
    let searches = merged.filter(|search| !search.shown.is_empty()).collect();
    (searches, others)
}

/// The rows of one search, before they are merged.
struct Group {
    id: String,
    session: String,
    query: u32,
    rows: Vec<usize>,
}

/// The one value of all rows that have one; `Err` if there are several.
fn only<V: PartialEq>(mut values: impl Iterator<Item = V>) -> Result<Option<V>, ()> {
    let Some(first) = values.next() else { return Ok(None) };
    if values.all(|value| value == first) { Ok(Some(first)) } else { Err(()) }
}

/// A part of an id; the first `/` of an id of several parts ends the first of them.
fn escaped(part: &str) -> String {
    part.replace('%', "%25").replace('/', "%2F")
}

fn by_id<'a>(
    rows: &[Row<'a>],
    members: &[usize],
    search: &str,
    gap: i64,
    query_id: &impl Fn(u32) -> String,
    others: &mut Others,
) -> Vec<Group> {
    // Ids count within a session, or, where no row has one, within a user.
    let by_session = members.iter().any(|&at| rows[at].event.session.is_some());
    let scope = |row: &Row<'a>| if by_session { row.event.session } else { row.event.user };
    let scopes = only(members.iter().filter_map(|&at| scope(&rows[at])));
    let queries = only(members.iter().filter_map(|&at| rows[at].event.query));
    if queries == Ok(None) {
        others.extend(members.iter().map(|&at| (at, EMPTY_QUERY)));
        return Vec::new();
    }
    let scope_of = |at: usize| scope(&rows[at]).or(scopes.unwrap_or_default());
    let query_of = |at: usize| rows[at].event.query.or(queries.unwrap_or_default());
    let whole =
        |at: usize| query_of(at).map(|query| (scope_of(at), query)).filter(|key| scopes.is_ok() || key.0.is_some());
    let mut keys: Vec<(Option<&str>, u32)> = members.iter().filter_map(|&at| whole(at)).collect();
    keys.sort_unstable();
    keys.dedup();
    let mut groups: Vec<Group> = Vec::with_capacity(keys.len());
    for &(scope, query) in &keys {
        let several_queries = keys.iter().filter(|key| key.0 == scope).count() > 1;
        let mut id = match (scopes, scope) {
            (Err(()), Some(scope)) => format!("{}/{search}", escaped(scope)),
            _ => search.to_string(),
        };
        if several_queries {
            id = format!("{id}/{}", query_id(query));
        }
        groups.push(Group { session: String::new(), id, query, rows: Vec::new() });
    }
    let mut vague = Vec::new();
    for &at in members {
        match whole(at).and_then(|key| keys.binary_search(&key).ok()) {
            Some(group) => groups[group].rows.push(at),
            None => vague.push(at),
        }
    }
    let fits = |at: usize, group: usize| {
        let (known, query) = keys[group];
        scope(&rows[at]).is_none_or(|own| Some(own) == known) && rows[at].event.query.is_none_or(|own| own == query)
    };
    join(rows, &vague, &mut groups, fits, others);
    join_clicks(rows, &mut groups);
    let mut searches: Vec<Group> = groups.into_iter().flat_map(|group| without_repeats(rows, group, gap)).collect();
    for group in &mut searches {
        let session = group.rows.iter().filter_map(|&at| rows[at].event.session).min();
        group.session = session.map_or_else(|| group.id.clone(), String::from);
    }
    searches
}

/// Joins clicks that stand alone, because they name another session or query than the page, to the only page of their search id
/// that shows the document.
fn join_clicks(rows: &[Row], groups: &mut Vec<Group>) {
    let clicks_alone = |group: &Group| group.rows.iter().all(|&at| rows[at].event.clicked);
    if groups.len() < 2 || !groups.iter().any(clicks_alone) {
        return;
    }
    let (alone, mut pages): (Vec<Group>, Vec<Group>) = std::mem::take(groups).into_iter().partition(clicks_alone);
    for mut group in alone {
        let page = |at: usize| {
            let shows = |page: &Group| page.rows.iter().any(|&row| rows[row].event.document == rows[at].event.document);
            only((0..pages.len()).filter(|&page| shows(&pages[page]))).ok().flatten()
        };
        let found: Vec<(usize, usize)> = group.rows.iter().filter_map(|&at| Some((page(at)?, at))).collect();
        group.rows.retain(|at| !found.iter().any(|(_, joined)| joined == at));
        found.into_iter().for_each(|(page, at)| pages[page].rows.push(at));
        if !group.rows.is_empty() {
            groups.push(group);
        }
    }
    groups.append(&mut pages);
}

/// Divides the rows of an id that is used again: where, after a gap in time, a result is shown that was shown before, another
/// search begins.
fn without_repeats(rows: &[Row], mut group: Group, gap: i64) -> Vec<Group> {
    let time = |at: usize| rows[at].event.shown_at;
    let shown = |at: usize| rows[at].event.document.filter(|_| !rows[at].event.clicked);
    let times = || group.rows.iter().filter_map(|&at| time(at));
    let span = times().max().unwrap_or_default().saturating_sub(times().min().unwrap_or_default());
    if span <= gap {
        return vec![group];
    }
    group.rows.sort_by_key(|&at| time(at));
    let mut parts: Vec<Vec<usize>> = vec![Vec::new()];
    let mut last = None;
    for near in group.rows.chunk_by(|&a, &b| time(b).zip(time(a)).is_none_or(|(b, a)| b.saturating_sub(a) <= gap)) {
        let Some(part) = parts.last_mut() else { break };
        let again = near.iter().any(|&at| shown(at).is_some() && part.iter().any(|&before| shown(before) == shown(at)));
        if again && last.is_some() {
            parts.push(near.to_vec())
        } else {
            part.extend(near)
        }
        last = Some(());
    }
    let numbered = |(number, rows): (usize, Vec<usize>)| {
        let id = if number == 0 { group.id.clone() } else { format!("{}/{}", group.id, number + 1) };
        Group { id, session: String::new(), query: group.query, rows }
    };
    parts.into_iter().enumerate().map(numbered).collect()
}

/// Joins rows that do not tell their search to the only one that fits, or to the only one with the document.
fn join(rows: &[Row], vague: &[usize], groups: &mut [Group], fits: impl Fn(usize, usize) -> bool, others: &mut Others) {
    let mut joined = Vec::new();
    for &at in vague {
        let fitting: Vec<usize> = (0..groups.len()).filter(|&group| fits(at, group)).collect();
        let document = rows[at].event.document;
        let shows = |&&group: &&usize| groups[group].rows.iter().any(|&row| rows[row].event.document == document);
        let showing: Vec<usize> = fitting.iter().filter(shows).copied().collect();
        match (&showing[..], &fitting[..]) {
            ([group], _) | ([], [group]) => joined.push((*group, at)),
            ([], []) => others.push((at, EMPTY_QUERY)),
            _ => others.push((at, SEVERAL_SEARCHES)),
        }
    }
    joined.into_iter().for_each(|(group, at)| groups[group].rows.push(at));
}

fn by_time(
    rows: &[Row],
    members: &[usize],
    visitor: &str,
    gap: i64,
    query_id: &impl Fn(u32) -> String,
    others: &mut Others,
) -> Vec<Group> {
    let (mut asking, vague): (Vec<usize>, Vec<usize>) = members.iter().partition(|&&at| rows[at].event.query.is_some());
    let visitor_id = escaped(visitor);
    // Rows without a time are in the first search of their query.
    asking.sort_by_key(|&at| (rows[at].event.query, rows[at].event.shown_at));
    let mut groups: Vec<Group> = Vec::new();
    let mut last: Option<(u32, Option<i64>)> = None;
    let mut number = 0;
    for at in asking {
        let Some(query) = rows[at].event.query else { continue };
        let time = rows[at].event.shown_at;
        let same = last.is_some_and(|(before, _)| before == query);
        let near = match (last.and_then(|(_, before)| before), time) {
            (Some(before), Some(time)) => time.saturating_sub(before) <= gap,
            _ => true,
        };
        if !(same && near) {
            number = if same { number + 1 } else { 1 };
            let id = format!("{visitor_id}/{}", query_id(query));
            let id = if number == 1 { id } else { format!("{id}/{number}") };
            groups.push(Group { id, session: visitor.to_string(), query, rows: Vec::new() });
        }
        last = Some((query, time));
        if let Some(group) = groups.last_mut() {
            group.rows.push(at);
        }
    }
    // A click without a query is of the latest search before it that shows the document.
    let starts: Vec<Option<i64>> =
        groups.iter().map(|group| group.rows.iter().filter_map(|&row| rows[row].event.shown_at).min()).collect();
    let end = |group: &Group| group.rows.iter().filter_map(|&row| rows[row].event.shown_at).max();
    let ends: Vec<Option<i64>> = groups.iter().map(end).collect();
    let mut joined = Vec::new();
    for at in vague {
        let Event { document, shown_at, .. } = rows[at].event;
        let shows = |group: &Group| group.rows.iter().any(|&row| rows[row].event.document == document);
        let showing = (0..groups.len()).filter(|&group| document.is_some() && shows(&groups[group]));
        // Clocks differ: without a search before the click, it is of the nearest one after it.
        let after = |group: usize| match (shown_at, starts[group]) {
            (Some(time), Some(start)) => start.saturating_sub(time).max(0),
            _ => 0,
        };
        let late = |group: usize| match (shown_at, ends[group]) {
            (Some(time), Some(end)) => time.saturating_sub(end),
            _ => 0,
        };
        let near = showing.filter(|&group| after(group) <= gap && late(group) <= gap.max(DAY));
        let order = |&group: &usize| (after(group), Reverse(starts[group]), &groups[group].id);
        match near.min_by_key(order) {
            Some(group) => joined.push((group, at)),
            None => others.push((at, EMPTY_QUERY)),
        }
    }
    joined.into_iter().for_each(|(group, at)| groups[group].rows.push(at));
    groups
}

/// Rows without any id: those of one query and time are one search, any other row is one of its own.
fn alone(rows: &[Row], members: &[usize], query_id: &impl Fn(u32) -> String, others: &mut Others) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    let mut members = members.to_vec();
    members.sort_by_key(|&at| (rows[at].event.query, order(&rows[at])));
    for at in members {
        let Event { query, shown_at, group, .. } = rows[at].event;
        let Some(query) = query else {
            others.push((at, EMPTY_QUERY));
            continue;
        };
        let id = match shown_at {
            Some(time) => format!("{}/{time}", query_id(query)),
            None => format!("{}/{group:016x}/{}", query_id(query), groups.len() + 1),
        };
        match groups.last_mut().filter(|last| last.id == id) {
            Some(last) => last.rows.push(at),
            None => groups.push(Group { session: id.clone(), id, query, rows: vec![at] }),
        }
    }
    groups
}

/// The order in which rows of a search describe its results: rows that show a document before clicks, the highest position
/// first; further values only make the order independent of that of the lines.
fn order<'a>(row: &Row<'a>) -> impl Ord + use<'a> {
    let Row { event, file, .. } = row;
    let values = (event.shown_at, event.dwell_seconds.map(f64::to_bits), event.session, event.user);
    (event.document, event.position.is_none(), event.clicked, event.position, values, *file, event.line)
}

/// Makes one result of all rows of a document: a click by or, the longest dwell time, the earliest time, the position of the
/// first row that shows the document and says where.
fn merge<'a>(rows: &[Row<'a>], mut group: Group, others: &mut Others) -> Search<'a> {
    group.rows.sort_by_cached_key(|&at| order(&rows[at]));
    let mut shown: Vec<Shown> = Vec::new();
    for of_document in group.rows.chunk_by(|&a, &b| rows[a].event.document == rows[b].event.document) {
        let events = || of_document.iter().map(|&at| &rows[at].event);
        let first = of_document[0];
        let (document, position) = match (rows[first].event.document, rows[first].event.position) {
            (None, _) => {
                others.extend(of_document.iter().map(|&at| (at, NO_DOCUMENT)));
                continue;
            }
            (Some(_), None) => {
                others.extend(of_document.iter().map(|&at| (at, NO_IMPRESSION)));
                continue;
            }
            (Some(document), Some(position)) => (document, position),
        };
        let reason = |at: usize| if rows[at].event.clicked { MERGED } else { REPEATED };
        others.extend(of_document[1..].iter().map(|&at| (at, reason(at))));
        shown.push(Shown {
            row: first,
            document,
            position,
            clicked: events().any(|event| event.clicked),
            dwell_seconds: events().filter_map(|event| event.dwell_seconds).reduce(f64::max),
            shown_at: events().filter_map(|event| event.shown_at).min(),
        });
    }
    shown.sort_unstable_by_key(|shown| (shown.position, shown.document));
    let user = group.rows.iter().filter_map(|&at| rows[at].event.user).min();
    Search { id: group.id, session: group.session, user, query: group.query, shown }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60_000_000;

    /// An event of a search, or, with an empty id, of a visitor.
    fn row(
        search: &'static str,
        session: &'static str,
        query: Option<u32>,
        document: u32,
        position: i32,
        clicked: bool,
    ) -> Row<'static> {
        let text = |text: &'static str| (!text.is_empty()).then_some(text);
        let event = Event {
            search: text(search),
            session: text(session),
            query,
            document: Some(document),
            position: (position > 0).then_some(position),
            clicked,
            ..Event::default()
        };
        Row { event, file: 0, unknown_document: false }
    }

    fn at(minutes: i64, mut row: Row<'static>) -> Row<'static> {
        row.event.shown_at = Some(minutes * MINUTE);
        row
    }

    fn found(rows: &[Row<'static>]) -> (Vec<Search<'static>>, Others) {
        // The order of the rows must not matter.
        let (searches, mut others) = super::searches(rows, 30 * MINUTE, |query| format!("q{query}"));
        let reversed: Vec<Row> = rows.iter().rev().copied().collect();
        let (again, _) = super::searches(&reversed, 30 * MINUTE, |query| format!("q{query}"));
        let mut again: Vec<_> =
            again.into_iter().map(|search| (search.id, search.session, search.shown.len())).collect();
        let mut once: Vec<_> =
            searches.iter().map(|search| (search.id.clone(), search.session.clone(), search.shown.len())).collect();
        once.sort();
        again.sort();
        assert_eq!(once, again);
        others.sort_unstable();
        (searches, others)
    }

    fn ids<'s>(searches: &'s [Search]) -> Vec<&'s str> {
        searches.iter().map(|search| search.id.as_str()).collect()
    }

    #[test]
    fn events_of_a_result_are_merged() {
        let mut rows = [
            at(5, row("s", "v", Some(0), 7, 3, true)),
            at(4, row("s", "v", Some(0), 7, 1, false)),
            at(6, row("s", "v", None, 7, 0, true)),
            at(4, row("s", "v", Some(0), 8, 2, false)),
            at(9, row("s", "v", Some(0), 9, 0, true)),
        ];
        (rows[0].event.dwell_seconds, rows[2].event.dwell_seconds) = (Some(6.0), Some(300.0));
        let (searches, others) = found(&rows);
        let [search] = &searches[..] else { panic!("{searches:?}") };
        let result = &search.shown[0];
        assert_eq!((result.row, result.position, result.clicked), (1, 1, true));
        assert_eq!((result.dwell_seconds, result.shown_at), (Some(300.0), Some(4 * MINUTE)));
        assert_eq!((search.shown[1].document, search.shown[1].clicked), (8, false));
        assert_eq!(others, [(0, MERGED), (2, MERGED), (4, NO_IMPRESSION)]);
    }

    #[test]
    fn ids_count_within_session_and_query() {
        let rows = [
            row("0", "v1", Some(0), 1, 1, false),
            row("0", "v2", Some(0), 1, 1, false),
            row("0", "v2", Some(1), 1, 1, false),
            row("0", "", None, 1, 1, true),
        ];
        let (searches, others) = found(&rows);
        assert_eq!(ids(&searches), ["v1/0", "v2/0/q0", "v2/0/q1"]);
        assert_eq!(others, [(3, SEVERAL_SEARCHES)]);
        // A click is joined to the one search that shows its document.
        let rows = [
            row("0", "v1", Some(0), 1, 1, false),
            row("0", "v2", Some(0), 2, 1, false),
            row("0", "", None, 2, 0, true),
        ];
        let (searches, others) = found(&rows);
        assert!(searches[1].shown[0].clicked);
        assert_eq!(others, [(2, MERGED)]);
        // A session that only some rows name is the session of all.
        let (searches, _) = found(&[row("s", "v", Some(0), 1, 1, false), row("s", "", Some(0), 2, 2, false)]);
        assert_eq!((ids(&searches), searches[0].session.as_str(), searches[0].shown.len()), (vec!["s"], "v", 2));
        let (searches, others) = found(&[row("s", "v", None, 1, 1, false)]);
        assert_eq!((searches.len(), others), (0, vec![(0, EMPTY_QUERY)]));
    }

    #[test]
    fn a_later_time_is_another_search() {
        let day = 24 * 60;
        let rows = [
            at(0, row("", "v", Some(0), 1, 1, false)),
            at(20, row("", "v", Some(0), 2, 11, false)),
            at(45, row("", "v", Some(0), 2, 11, true)),
            at(7 * day, row("", "v", Some(0), 1, 1, false)),
            at(10, row("", "v", Some(1), 1, 1, false)),
            at(7 * day + 1, row("", "v", None, 1, 0, true)),
        ];
        let (searches, others) = found(&rows);
        assert_eq!(ids(&searches), ["v/q0", "v/q0/2", "v/q1"]);
        let clicks: Vec<Vec<bool>> =
            searches.iter().map(|search| search.shown.iter().map(|shown| shown.clicked).collect()).collect();
        assert_eq!(clicks, [vec![false, true], vec![true], vec![false]]);
        assert_eq!(others, [(2, MERGED), (5, MERGED)]);
        // Without times, a query of a session is one search.
        let (searches, _) = found(&[row("", "v", Some(0), 1, 1, false), row("", "v", Some(0), 2, 2, true)]);
        assert_eq!(searches.len(), 1);
    }

    #[test]
    fn rows_without_ids_are_not_one_visitor() {
        let rows = [
            at(1, row("", "", Some(0), 1, 1, false)),
            at(1, row("", "", Some(0), 2, 2, true)),
            row("", "", Some(0), 3, 1, false),
            row("", "", Some(0), 3, 1, false),
        ];
        let (searches, others) = found(&rows);
        let sizes: Vec<usize> = searches.iter().map(|search| search.shown.len()).collect();
        assert_eq!((sizes, others), (vec![2, 1, 1], vec![]));
    }
}
