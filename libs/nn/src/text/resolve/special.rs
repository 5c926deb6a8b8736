//! The special and added tokens of a folder, gathered from the files that may name them.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::{Map, Value, json};
use tokenizers::AddedToken;

use super::class::Class;
use super::{ADDED_TOKENS, CONFIG, Files, Refusal, SPECIAL_TOKENS, TOKENIZER, object};

/// The roles a special token may have, in the order in which tokens are added.
const ROLES: [&str; 7] = ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];
const EXTRA: &str = "extra_special_tokens";
/// What older releases call [`EXTRA`].
const ADDITIONAL: &str = "additional_special_tokens";
const MODEL_SPECIFIC: &str = "model_specific_special_tokens";
const DECODER: &str = "added_tokens_decoder";

/// A token as a file mentions it: by its text alone, or with how it is matched.
#[derive(Clone, Debug, PartialEq)]
enum Mention {
    Text(String),
    Token(AddedToken),
}

impl Mention {
    fn text(&self) -> &str {
        match self {
            Self::Text(text) => text,
            Self::Token(token) => &token.content,
        }
    }

    fn token(self, has_role: bool) -> AddedToken {
        match self {
            Self::Text(text) => AddedToken::from(text, true),
            Self::Token(token) => AddedToken { special: token.special || has_role, ..token },
        }
    }
}

/// The tokens of a folder that are not pieces of its vocabulary only.
#[derive(Debug)]
pub(super) struct Special {
    /// The seven roles, then those of the model's own.
    roles: Vec<(String, Option<Mention>)>,
    extra: Vec<Mention>,
    added: BTreeMap<u32, AddedToken>,
}

impl Special {
    /// Reads them by the library's precedence: `added_tokens_decoder` of `tokenizer_config.json`, or else the older files.
    pub(super) fn read(
        class: Class,
        config: &Map<String, Value>,
        files: &Files,
        written: Option<&Map<String, Value>>,
    ) -> Result<Self, Refusal> {
        let mut settings = config.clone();
        if settings.contains_key(ADDITIONAL) && !is_truthy(settings.get(EXTRA)) {
            let tokens = settings.shift_remove(ADDITIONAL).unwrap_or_default();
            settings.insert(EXTRA.to_owned(), tokens);
        }
        let mut own = own_roles(&mut settings);
        let mut added = Added::default();
        if let Some(decoder) = settings.get(DECODER) {
            added.read_decoder(decoder)?;
        } else {
            let from_map = merge_special_map(&mut settings, &mut own, object(files, SPECIAL_TOKENS)?)?;
            added.read_older(&settings, &from_map, files, written)?;
        }
        let mut roles = standard_roles(class, &settings, &added)?;
        for (role, value) in settings.iter().filter(|(role, _)| is_own_role(role)) {
            roles.extend(mention(value).map(|token| (role.clone(), Some(token))));
        }
        for (role, value) in own {
            let token = mention(&value).ok_or_else(|| not_a_token(&role, &value))?;
            roles.retain(|(name, _)| *name != role);
            roles.push((role, Some(token)));
        }
        Ok(Self { roles, extra: extra(class, &settings)?, added: added.by_id })
    }

    /// The text of the token of a role.
    pub(super) fn role(&self, role: &str) -> Option<&str> {
        let (_, token) = self.roles.iter().find(|(name, _)| name == role)?;
        token.as_ref().map(Mention::text)
    }

    /// The tokens of all roles that have one.
    pub(super) fn role_tokens(&self) -> BTreeMap<String, String> {
        let named = |(role, token): &(String, Option<Mention>)| Some((role.clone(), token.as_ref()?.text().to_owned()));
        self.roles.iter().filter_map(named).collect()
    }

    /// The tokens that the library adds to a tokenizer, in its order: those of the files that the tokenizer has otherwise
    /// or not at all, then the roles and the extra ones that are no added tokens yet.
    pub(super) fn to_add(&self, tokenizer: &tokenizers::Tokenizer) -> Vec<AddedToken> {
        let present = tokenizer.get_added_tokens_decoder();
        let is_new = |token: &&AddedToken| !present.values().any(|other| other == *token);
        let mut tokens: Vec<Mention> = self.added.values().filter(is_new).cloned().map(Mention::Token).collect();
        let mut known: HashSet<String> = present.values().map(|token| token.content.clone()).collect();
        known.extend(tokens.iter().map(|token| token.text().to_owned()));
        let named = self.roles.iter().filter_map(|(_, token)| token.as_ref());
        for token in named.chain(&self.extra) {
            if !known.contains(token.text()) && !tokens.contains(token) {
                tokens.push(token.clone());
            }
        }
        let with_role: HashSet<&str> = self.all().collect();
        tokens
            .into_iter()
            .map(|token| {
                let has_role = with_role.contains(token.text());
                token.token(has_role)
            })
            .collect()
    }

    /// Every special token with a role of its own, and the extra ones: each once.
    pub(super) fn distinct(&self) -> Vec<&str> {
        let standard = ROLES.iter().filter_map(|role| self.role(role));
        let own = self.roles.iter().filter(|(role, _)| is_own_role(role)).filter_map(|(_, token)| token.as_ref());
        let mut seen = HashSet::new();
        let all = standard.chain(own.map(Mention::text)).chain(self.extra.iter().map(Mention::text));
        all.filter(|token| seen.insert(*token)).collect()
    }

    /// The roles and extra tokens as `tokenizer_config.json` has them where `tokenizer.json` says how they are matched.
    pub(super) fn fields(&self) -> Map<String, Value> {
        let mut fields: Map<String, Value> =
            ROLES.iter().map(|role| ((*role).to_owned(), json!(self.role(role)))).collect();
        let standard: HashSet<&str> = ROLES.iter().filter_map(|role| self.role(role)).collect();
        let others: Vec<&str> = self.distinct().into_iter().filter(|token| !standard.contains(token)).collect();
        if !others.is_empty() {
            fields.insert(ADDITIONAL.to_owned(), json!(others));
        }
        fields
    }

    fn all(&self) -> impl Iterator<Item = &str> {
        self.roles.iter().filter_map(|(_, token)| token.as_ref()).map(Mention::text)
    }
}

/// The added tokens that the files list, by their ids and by their texts.
#[derive(Default)]
struct Added {
    by_id: BTreeMap<u32, AddedToken>,
    by_text: HashMap<String, AddedToken>,
}

impl Added {
    fn insert(&mut self, id: u32, token: AddedToken) {
        self.by_text.insert(token.content.clone(), token.clone());
        self.by_id.insert(id, token);
    }

    fn read_decoder(&mut self, decoder: &Value) -> Result<(), Refusal> {
        let refusal = |found: &Value| Refusal {
            file: CONFIG,
            expected: format!("{DECODER} from ids to tokens with their content"),
            found: found.to_string(),
        };
        for (id, token) in decoder.as_object().ok_or_else(|| refusal(decoder))? {
            let parsed = id.parse().ok().zip(added_token(token, false));
            let (id, token) = parsed.ok_or_else(|| refusal(token))?;
            self.insert(id, token);
        }
        Ok(())
    }

    /// `added_tokens.json`, then the added tokens of `tokenizer.json`, which count more.
    fn read_older(
        &mut self,
        settings: &Map<String, Value>,
        from_map: &HashSet<String>,
        files: &Files,
        written: Option<&Map<String, Value>>,
    ) -> Result<(), Refusal> {
        let mut special: HashSet<String> = HashSet::new();
        for role in ROLES {
            let token = settings.get(role).filter(|value| value.is_string() || from_map.contains(role));
            special.extend(token.and_then(mention).map(|token| token.text().to_owned()));
        }
        let extra = settings.get(EXTRA).and_then(Value::as_array);
        special.extend(extra.into_iter().flatten().filter_map(mention).map(|token| token.text().to_owned()));
        for (text, id) in object(files, ADDED_TOKENS)?.unwrap_or_default() {
            let id = id.as_u64().and_then(|id| u32::try_from(id).ok()).ok_or_else(|| Refusal {
                file: ADDED_TOKENS,
                expected: "tokens with their ids".to_owned(),
                found: format!("{text:?}: {id}"),
            })?;
            let is_special = special.contains(&text);
            self.insert(id, AddedToken::from(text, is_special));
        }
        for token in written.and_then(|written| written.get("added_tokens")?.as_array()).into_iter().flatten() {
            let parsed = token["id"].as_u64().and_then(|id| u32::try_from(id).ok()).zip(added_token(token, false));
            let (id, token) = parsed.ok_or_else(|| Refusal {
                file: TOKENIZER,
                expected: "added_tokens with id and content".to_owned(),
                found: token.to_string(),
            })?;
            self.insert(id, token);
        }
        Ok(())
    }
}

/// Takes the roles of the model's own out of the settings: fields such as `image_token`, or a table of extra tokens.
fn own_roles(settings: &mut Map<String, Value>) -> Map<String, Value> {
    let names: Vec<String> = settings
        .iter()
        .filter(|(role, value)| is_own_role(role) && value.is_string())
        .map(|(role, _)| role.clone())
        .collect();
    let mut own: Map<String, Value> = names.into_iter().filter_map(|role| settings.shift_remove_entry(&role)).collect();
    own.extend(take_extra_table(settings));
    let stored = settings.shift_remove(MODEL_SPECIFIC);
    if own.is_empty()
        && let Some(Value::Object(stored)) = stored
    {
        stored
    } else {
        own
    }
}

fn take_extra_table(settings: &mut Map<String, Value>) -> Map<String, Value> {
    if !settings.get(EXTRA).is_some_and(Value::is_object) {
        return Map::new();
    }
    settings.shift_remove(EXTRA).and_then(|table| table.as_object().cloned()).unwrap_or_default()
}

/// Lets `special_tokens_map.json` overrule the settings. Gives the names of its fields.
fn merge_special_map(
    settings: &mut Map<String, Value>,
    own: &mut Map<String, Value>,
    map: Option<Map<String, Value>>,
) -> Result<HashSet<String>, Refusal> {
    let map = map.unwrap_or_default();
    let names = map.keys().cloned().collect();
    for (name, value) in map {
        let value = match value {
            Value::Object(_) if name != EXTRA => {
                let token = added_token(&value, true).ok_or_else(|| Refusal {
                    file: SPECIAL_TOKENS,
                    expected: format!("{name} a token with its content"),
                    found: value.to_string(),
                })?;
                typed(&token)
            }
            Value::Array(tokens) if name == EXTRA => merged_extra(settings.get(EXTRA), tokens),
            other => other,
        };
        settings.insert(name, value);
    }
    own.extend(take_extra_table(settings));
    Ok(names)
}

fn merged_extra(present: Option<&Value>, tokens: Vec<Value>) -> Value {
    let mut all = present.and_then(Value::as_array).cloned().unwrap_or_default();
    for token in tokens {
        let token =
            if token.is_object() { added_token(&token, true).map_or(token, |token| typed(&token)) } else { token };
        if !all.contains(&token) {
            all.push(token);
        }
    }
    Value::Array(all)
}

/// The seven roles: what the settings say, with how the added token of that text is matched, or the class's default.
fn standard_roles(
    class: Class,
    settings: &Map<String, Value>,
    added: &Added,
) -> Result<Vec<(String, Option<Mention>)>, Refusal> {
    let role = |role: &str| {
        let token = match settings.get(role) {
            None => class.default_token(role).map(|token| Mention::Text(token.to_owned())),
            Some(Value::Null) => None,
            Some(value) => {
                let token = mention(value).ok_or_else(|| not_a_token(role, value))?;
                Some(added.by_text.get(token.text()).cloned().map_or(token, Mention::Token))
            }
        };
        // These classes let the mask take the space before it.
        let takes_space = role == "mask_token" && matches!(class, Class::MpNet | Class::Camembert);
        let token = match token {
            Some(Mention::Text(text)) if takes_space => Some(Mention::Token(AddedToken::from(text, true).lstrip(true))),
            other => other,
        };
        Ok((role.to_owned(), token))
    };
    ROLES.iter().map(|name| role(name)).collect()
}

fn extra(class: Class, settings: &Map<String, Value>) -> Result<Vec<Mention>, Refusal> {
    let tokens = match (settings.get(EXTRA), settings.get(ADDITIONAL)) {
        (Some(tokens), _) => tokens.clone(),
        (None, None | Some(Value::Null)) if class == Class::Camembert => {
            json!(["<s>NOTUSED", "</s>NOTUSED", "<unk>NOTUSED"])
        }
        (None, tokens) => tokens.cloned().unwrap_or_default(),
    };
    match tokens {
        Value::Null => Ok(Vec::new()),
        Value::Array(tokens) => {
            tokens.iter().map(|token| mention(token).ok_or_else(|| not_a_token(EXTRA, token))).collect()
        }
        other => Err(not_a_token(EXTRA, &other)),
    }
}

fn is_own_role(name: &str) -> bool {
    name.ends_with("_token") && !ROLES.contains(&name)
}

fn is_truthy(value: Option<&Value>) -> bool {
    match value {
        None | Some(Value::Null | Value::Bool(false)) => false,
        Some(Value::Array(items)) => !items.is_empty(),
        Some(Value::Object(items)) => !items.is_empty(),
        Some(Value::String(text)) => !text.is_empty(),
        Some(_) => true,
    }
}

/// A token given as its text, or as an object that says that it is one.
fn mention(value: &Value) -> Option<Mention> {
    match value {
        Value::String(text) => Some(Mention::Text(text.clone())),
        Value::Object(fields) if fields.get("__type").is_some_and(|kind| kind == "AddedToken") => {
            added_token(value, false).map(Mention::Token)
        }
        _ => None,
    }
}

/// The object form of a token that [`mention`] reads.
fn typed(token: &AddedToken) -> Value {
    let &AddedToken { ref content, single_word, lstrip, rstrip, normalized, special } = token;
    json!({
        "__type": "AddedToken", "content": content, "single_word": single_word, "lstrip": lstrip, "rstrip": rstrip,
        "normalized": normalized, "special": special,
    })
}

/// A token from its fields. Those absent are false, but for `normalized`: a special token is not.
fn added_token(value: &Value, is_special: bool) -> Option<AddedToken> {
    let flag = |name: &str| value[name].as_bool();
    let special = is_special || flag("special").unwrap_or(false);
    Some(AddedToken {
        content: value["content"].as_str()?.to_owned(),
        single_word: flag("single_word").unwrap_or(false),
        lstrip: flag("lstrip").unwrap_or(false),
        rstrip: flag("rstrip").unwrap_or(false),
        normalized: flag("normalized").unwrap_or(!special),
        special,
    })
}

fn not_a_token(role: &str, found: &Value) -> Refusal {
    Refusal {
        file: CONFIG,
        expected: format!("{role} a text, or an object with \"__type\": \"AddedToken\" and its content"),
        found: found.to_string(),
    }
}
