//! JSON objects: the wanted values of one record.

use std::borrow::Cow;

use jiter::{Jiter, JiterError, Peek};
use memchr::{memchr, memmem};

use crate::json_plan::{Node, Plan};
use crate::record::Lists;
use crate::record::{
    Field, Found, Reason, Value, is_below_list, is_list, is_list_of_records, is_record, missing_value,
};
use crate::text_lines::is_row_count;
use crate::values::Nulls;

/// Keys that are remembered of a record, and the longest of them.
const REMEMBERED: usize = 256;

/// Text that is no JSON.
struct NotJson;

impl From<JiterError> for NotJson {
    fn from(_: JiterError) -> NotJson {
        NotJson
    }
}

/// Reads one object after another.
pub(crate) struct Parser<'p> {
    fields: &'p [Field],
    plan: &'p Plan,
    nulls: &'p Nulls,
    /// By node: the keys of the record before and the nodes they led to. Most records have the keys of the one before.
    memo: Vec<Vec<(Vec<u8>, Option<usize>)>>,
    slots: Vec<Slot>,
    /// For each wanted field, true if a record had it.
    pub(crate) found: Found,
}

/// What is known of a wanted field of the record at hand.
#[derive(Debug, Clone, Default)]
struct Slot {
    /// Rank of the node that held it, 0 if none did.
    rank: u8,
    problem: Option<String>,
}

impl<'p> Parser<'p> {
    pub(crate) fn new(fields: &'p [Field], plan: &'p Plan, nulls: &'p Nulls) -> Parser<'p> {
        let memo = vec![Vec::new(); plan.len()];
        let slots = vec![Slot::default(); fields.len()];
        Parser { fields, plan, nulls, memo, slots, found: vec![false; fields.len()] }
    }

    /// Puts the values of the object that `text` starts with into `values` and returns where it ends, or `None` if there is
    /// no object. The outer error is for text that is no JSON.
    pub(crate) fn read<'a>(
        &mut self,
        text: &'a str,
        values: &mut Vec<Value<'a>>,
    ) -> Option<(usize, Result<(), Reason>)> {
        values.clear();
        values.resize_with(self.fields.len(), Value::default);
        self.slots.iter_mut().for_each(|slot| *slot = Slot::default());
        let mut jiter = Jiter::new(text.as_bytes()).with_allow_inf_nan();
        let mut object = Object { text, values };
        self.object(Plan::ROOT, &mut jiter, &mut object).ok()?;
        Some((jiter.current_index(), self.checked(values)))
    }

    /// Puts the values of the only object in `text` into `values`.
    pub(crate) fn read_only<'a>(&mut self, text: &'a str, values: &mut Vec<Value<'a>>) -> Result<(), Reason> {
        match self.read(text, values) {
            Some((end, outcome)) if text[end..].trim_ascii().is_empty() => outcome,
            _ => self.read_mended(text, values).unwrap_or_else(|| Err(not_an_object(text))),
        }
    }

    /// Reads `text` with U+FFFD instead of half pairs of surrogates, as a text cut within a character has them.
    fn read_mended<'a>(&mut self, text: &str, values: &mut Vec<Value<'a>>) -> Option<Result<(), Reason>> {
        let mended = without_half_pairs(text)?;
        let mut mended_values = Vec::new();
        let (end, outcome) = self.read(&mended, &mut mended_values)?;
        if !mended[end..].trim_ascii().is_empty() {
            return None;
        }
        values.clear();
        values.extend(mended_values.into_iter().map(|value: Value<'_>| value.into_owned()));
        Some(outcome)
    }

    /// Notes what was found, and refuses bad and missing values.
    fn checked(&mut self, values: &[Value]) -> Result<(), Reason> {
        let mut outcome = Ok(());
        for (((field, slot), value), found) in self.fields.iter().zip(&mut self.slots).zip(values).zip(&mut self.found)
        {
            *found |= slot.rank > 0;
            if outcome.is_err() {
                continue;
            }
            if let Some(problem) = slot.problem.take() {
                outcome = Err(Reason::Malformed(problem.into()));
            } else if field.required && *value == Value::Missing {
                outcome = Err(missing_value(field));
            }
        }
        outcome
    }

    fn object<'a>(&mut self, node: usize, jiter: &mut Jiter<'a>, to: &mut Object<'a, '_>) -> Result<(), NotJson> {
        let mut place = 0;
        let Some(key) = jiter.next_object_bytes()? else { return Ok(()) };
        let mut child = self.child(node, place, key);
        loop {
            match child {
                Some(child) => self.value(child, jiter, to)?,
                None => jiter.next_skip()?,
            }
            place += 1;
            let Some(key) = jiter.next_key_bytes()? else { return Ok(()) };
            child = self.child(node, place, key);
        }
    }

    /// The node that the key at `place` of an object leads to.
    #[inline]
    fn child(&mut self, node: usize, place: usize, key: &[u8]) -> Option<usize> {
        match self.memo[node].get(place) {
            Some((known, child)) if known == key => *child,
            _ => self.look_up(node, place, key),
        }
    }

    fn look_up(&mut self, node: usize, place: usize, key: &[u8]) -> Option<usize> {
        let text = std::str::from_utf8(key).ok()?;
        let text = if text.contains('\\') { Cow::Owned(unescaped(text)?) } else { Cow::Borrowed(text) };
        let child = self.plan.child(node, &text);
        let memo = &mut self.memo[node];
        if key.len() <= REMEMBERED && place < REMEMBERED {
            if place < memo.len() {
                memo[place].0.clear();
                memo[place].0.extend_from_slice(key);
                memo[place].1 = child;
            } else if place == memo.len() {
                memo.push((key.to_vec(), child));
            }
        }
        child
    }

    fn value<'a>(&mut self, node: usize, jiter: &mut Jiter<'a>, to: &mut Object<'a, '_>) -> Result<(), NotJson> {
        let plan = self.plan;
        let node = (node, plan.node(node));
        // Of equal keys the last one holds.
        for &slot in &node.1.below {
            if self.slots[slot].rank <= 1 {
                self.slots[slot] = Slot::default();
                to.values[slot] = Value::Missing;
            }
        }
        match jiter.peek()? {
            Peek::Object => self.inner_object(node, jiter, to),
            Peek::Array => self.list(node.1, jiter, to),
            peek => {
                let text = to.scalar(peek, jiter)?;
                if let [slot] = node.1.slots[..] {
                    self.set(slot, node.1.rank, to, text.map_or(Value::Missing, |text| self.nulls.value(text)));
                } else {
                    for &slot in &node.1.slots {
                        let value = text.clone().map_or(Value::Missing, |text| self.nulls.value(text));
                        self.set(slot, node.1.rank, to, value);
                    }
                }
                Ok(())
            }
        }
    }

    #[inline]
    fn set<'a>(&mut self, slot: usize, rank: u8, to: &mut Object<'a, '_>, value: Value<'a>) {
        if self.slots[slot].rank <= rank {
            self.slots[slot] = Slot { rank, problem: None };
            to.values[slot] = value;
        }
    }

    fn refuse(&mut self, slot: usize, rank: u8, problem: String) {
        if self.slots[slot].rank <= rank {
            self.slots[slot] = Slot { rank, problem: Some(problem) };
        }
    }

    fn inner_object<'a>(
        &mut self,
        (number, node): (usize, &Node),
        jiter: &mut Jiter<'a>,
        to: &mut Object<'a, '_>,
    ) -> Result<(), NotJson> {
        let start = jiter.current_index();
        if node.children.is_empty() {
            jiter.next_skip()?;
        } else {
            self.object(number, jiter, to)?;
        }
        if !node.slots.is_empty() {
            let mut again = Jiter::new(&to.text.as_bytes()[start..]);
            let inner = again.next_object()?;
            for &slot in &node.slots {
                self.refuse(slot, node.rank, is_record(&self.fields[slot].name, inner));
            }
        }
        Ok(())
    }

    fn list<'a>(&mut self, node: &Node, jiter: &mut Jiter<'a>, to: &mut Object<'a, '_>) -> Result<(), NotJson> {
        for &slot in &node.below {
            self.refuse(slot, 1, is_below_list(&self.fields[slot].name, &node.path));
        }
        if node.slots.iter().all(|&slot| self.fields[slot].lists == Lists::Refused) {
            jiter.next_skip()?;
            for &slot in &node.slots {
                self.refuse(slot, node.rank, is_list(&self.fields[slot].name));
            }
            return Ok(());
        }
        let mut items = Vec::new();
        let mut single = true;
        let mut item = jiter.next_array()?;
        while let Some(peek) = item {
            if matches!(peek, Peek::Object | Peek::Array) {
                single = false;
                jiter.known_skip(peek)?;
            } else {
                items.push(to.scalar(peek, jiter)?);
            }
            item = jiter.array_step()?;
        }
        for &slot in &node.slots {
            let Field { name, lists, .. } = &self.fields[slot];
            match self.nulls.list(name, *lists, items.iter().cloned()) {
                Ok(value) if single => self.set(slot, node.rank, to, value),
                Err(problem) => self.refuse(slot, node.rank, problem),
                Ok(_) => self.refuse(slot, node.rank, is_list_of_records(name)),
            }
        }
        Ok(())
    }
}

/// The object that is read: its text, which jiter's positions count in, and where its values go.
struct Object<'a, 'v> {
    text: &'a str,
    values: &'v mut Vec<Value<'a>>,
}

impl<'a> Object<'a, '_> {
    /// The text of the value that comes next and starts with `peek`; none for null and what is not a number.
    #[inline]
    fn scalar(&self, peek: Peek, jiter: &mut Jiter<'a>) -> Result<Option<Cow<'a, str>>, NotJson> {
        match peek {
            Peek::String => {
                let raw = jiter.known_bytes()?;
                let (length, escaped) = (raw.len(), memchr(b'\\', raw).is_some());
                let end = jiter.current_index() - 1;
                let text = self.text.get(end - length..end).ok_or(NotJson)?;
                Ok(Some(if escaped { Cow::Owned(unescaped(text).ok_or(NotJson)?) } else { Cow::Borrowed(text) }))
            }
            Peek::Null => Ok(jiter.known_null().map(|()| None)?),
            Peek::True | Peek::False => Ok(Some(Cow::Borrowed(if jiter.known_bool(peek)? { "true" } else { "false" }))),
            _ => {
                let length = jiter.known_number_bytes(peek)?.len();
                let end = jiter.current_index();
                Ok(number(self.text.get(end - length..end).ok_or(NotJson)?))
            }
        }
    }
}

/// The text of a string in JSON, which stands between quotes.
fn unescaped(text: &str) -> Option<String> {
    let quoted = format!("\"{text}\"");
    let mut jiter = Jiter::new(quoted.as_bytes());
    jiter.next_str().ok().map(String::from)
}

/// The text of a number: as written, or without the exponent if it is whole and below 2^53.
#[inline]
fn number(text: &str) -> Option<Cow<'_, str>> {
    match text.as_bytes().last() {
        // NaN and Infinity.
        Some(b'N' | b'y') => None,
        _ if memchr::memchr2(b'e', b'E', text.as_bytes()).is_some() => {
            Some(whole(text).map_or(Cow::Borrowed(text), |whole| Cow::Owned(whole.to_string())))
        }
        _ => Some(Cow::Borrowed(text)),
    }
}

/// The number with an exponent, if it is whole and below 2^53.
fn whole(text: &str) -> Option<i64> {
    let (mantissa, exponent) = text.split_once(['e', 'E'])?;
    let (digits, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let exponent = exponent.parse::<i64>().ok()?.checked_sub(i64::try_from(fraction.len()).ok()?)?;
    let mut digits = format!("{digits}{fraction}");
    let length = digits.len();
    if exponent < 0 {
        let kept = length.checked_sub(usize::try_from(exponent.unsigned_abs()).ok()?)?;
        if digits[kept..].bytes().any(|digit| digit != b'0') {
            return None;
        }
        digits.truncate(kept);
    } else if exponent <= 16 {
        digits.extend(std::iter::repeat_n('0', usize::try_from(exponent).ok()?));
    } else {
        return None;
    }
    digits.parse::<i64>().ok().filter(|whole| whole.unsigned_abs() < 1 << 53)
}

/// `text` with U+FFFD instead of each escaped half of a surrogate pair; `None` if there is none.
fn without_half_pairs(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let unit = |at: usize| {
        let digits = bytes.get(at..at + 6)?.strip_prefix(b"\\u")?;
        u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    };
    let mut mended = Vec::with_capacity(bytes.len());
    let mut changed = false;
    let mut at = 0;
    while at < bytes.len() {
        let length = match (unit(at), unit(at + 6)) {
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => 12,
            (Some(0xd800..=0xdfff), _) => {
                mended.extend_from_slice(b"\\ufffd");
                changed = true;
                at += 6;
                continue;
            }
            // The character after a backslash starts no escape.
            _ if bytes[at] == b'\\' => 2,
            _ => memchr(b'\\', &bytes[at..]).unwrap_or(bytes.len() - at),
        };
        let end = bytes.len().min(at + length);
        mended.extend_from_slice(&bytes[at..end]);
        at = end;
    }
    changed.then(|| String::from_utf8(mended).ok())?
}

/// Why a text that is no object does not become a record.
pub(crate) fn not_an_object(text: &str) -> Reason {
    if is_row_count(text) { Reason::LeftOut("row count after the rows") } else { "not a JSON object".into() }
}

/// The keys of a JSON object, such as [`crate::Record::content`] has it; none of a text that cannot be read as one.
#[must_use]
pub fn object_keys(object: &[u8]) -> Vec<String> {
    first_keys(object).unwrap_or_default()
}

/// The keys of the first of the objects in `bytes` that can be read.
pub(crate) fn first_keys(bytes: &[u8]) -> Option<Vec<String>> {
    memmem::find_iter(bytes, b"{").take(100).find_map(|start| {
        let mut jiter = Jiter::new(&bytes[start..]).with_allow_inf_nan();
        let mut keys = vec![jiter.next_object().ok()??.to_string()];
        loop {
            jiter.next_skip().ok()?;
            match jiter.next_key().ok()? {
                Some(key) => keys.push(key.to_string()),
                None => return Some(keys),
            }
        }
    })
}
