//! Chat templates (Jinja, as the Hugging Face libraries use it) of rankers that read the query and the document as two
//! messages, one of the role `query` and one of the role `document`.

use std::path::{Path, PathBuf};

use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, ErrorKind, Value, context};
use serde_json::json;

use super::layout::format_error;
use super::sentence_transformers::optional;
use crate::error::Result;
use crate::files;
use crate::text::{Prompt, Template, Tokenizer};

const FILE: &str = "chat_template.jinja";
/// Where older folders keep it.
const CONFIG_FILE: &str = "tokenizer_config.json";

/// Stand-ins for the texts: characters for private use, which no template contains or changes.
const QUERY: &str = "\u{f5f0}\u{f5f1}";
const DOCUMENT: &str = "\u{f5f2}\u{f5f3}";

/// A chat template and the file it is from.
pub(super) struct ChatTemplate {
    path: PathBuf,
    source: String,
    /// What sentence-transformers passes to it.
    adds_generation_prompt: bool,
}

impl ChatTemplate {
    /// The template of a folder, where it has one.
    pub(super) fn of_folder(folder: &Path, adds_generation_prompt: bool) -> Result<Option<Self>> {
        let path = folder.join(FILE);
        if path.exists() {
            return Ok(Some(Self { source: files::read_text(&path)?, path, adds_generation_prompt }));
        }
        let path = folder.join(CONFIG_FILE);
        let template = optional(&path)?["chat_template"].take();
        let named = |templates: &Vec<serde_json::Value>| {
            let default = templates.iter().find(|template| template["name"] == "default")?;
            Some(default["template"].as_str()?.to_owned())
        };
        let source = template.as_str().map(str::to_owned).or_else(|| template.as_array().and_then(named));
        Ok(source.map(|source| Self { path, source, adds_generation_prompt }))
    }

    /// True if the template is written for rankers: one that knows neither role would drop the texts, or put them where
    /// the model never saw them.
    pub(super) fn names_both_roles(&self) -> bool {
        ["query", "document"]
            .iter()
            .all(|role| ['"', '\''].iter().any(|quote| self.source.contains(&format!("{quote}{role}{quote}"))))
    }

    /// The text that the template makes of a query and a document, after a prompt as a system message.
    ///
    /// # Errors
    /// A template that cannot be rendered, or does not render both texts once.
    pub(super) fn template(&self, tokenizer: &Tokenizer, prompt: &str) -> Result<Template> {
        let refusal = |found: String| {
            let expected = "a chat template that renders the messages of the roles query and document as they are, once each \
                            (or give the text that it stands for as the template)";
            format_error(&self.path, expected, found)
        };
        let rendered = self.render(tokenizer, prompt, [QUERY, DOCUMENT]).map_err(|error| refusal(error.to_string()))?;
        if [QUERY, DOCUMENT].iter().any(|text| rendered.matches(text).count() != 1) {
            return Err(refusal(format!("{:?}", rendered.replace(QUERY, "{query}").replace(DOCUMENT, "{document}"))));
        }
        let text = rendered.replace(QUERY, "{query}").replace(DOCUMENT, "{document}");
        let parsed = Prompt::parse(&text)?;
        for [query, document] in probes() {
            let found =
                self.render(tokenizer, prompt, [&query, &document]).map_err(|error| refusal(error.to_string()))?;
            if found != parsed.fill(&query, &document).text {
                return Err(refusal("one that changes them, or depends on what they say".to_owned()));
            }
        }
        // A chat template writes the special tokens itself.
        Ok(Template::Prompt { text, special_tokens: false })
    }

    fn render(
        &self,
        tokenizer: &Tokenizer,
        prompt: &str,
        [query, document]: [&str; 2],
    ) -> std::result::Result<String, minijinja::Error> {
        let mut environment = Environment::new();
        environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
        environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_function(
            "raise_exception",
            |message: String| -> std::result::Result<Value, minijinja::Error> {
                Err(minijinja::Error::new(ErrorKind::InvalidOperation, message))
            },
        );
        let message = |role: &str, content: &str| context! { role => role, content => content };
        let mut messages = vec![message("query", query), message("document", document)];
        if !prompt.is_empty() {
            messages.insert(0, message("system", prompt));
        }
        let token = |role| tokenizer.role_token(role).unwrap_or_default().to_owned();
        environment.render_str(
            &self.source,
            context! {
                messages => messages,
                add_generation_prompt => self.adds_generation_prompt,
                bos_token => token("bos_token"),
                eos_token => token("eos_token"),
                pad_token => token("pad_token"),
                unk_token => token("unk_token"),
                sep_token => token("sep_token"),
                cls_token => token("cls_token"),
            },
        )
    }
}

/// Texts that a template which changes or tests what it renders would not leave as they are.
fn probes() -> [[String; 2]; 2] {
    let hard = "Was \"it\" <b>A & B's</b> {0} 50 % ÄÖ?";
    [["a".to_owned(), "b".to_owned()], [hard.repeat(9), format!("{} end", hard.repeat(40))]]
}

/// The chat template that renders a prompt: what sentence-transformers and transformers read it by. `before` and `after` are the
/// special tokens that the tokenizer adds to a text, which a chat template writes itself.
pub(super) fn of_prompt(prompt: &Prompt, before: &str, after: &str) -> String {
    let literal = |text: &str| if text.is_empty() { String::new() } else { format!("{{{{ {} }}}}", json!(text)) };
    let content = |role| {
        format!("(messages | selectattr(\"role\", \"equalto\", \"{role}\") | map(attribute=\"content\") | first)")
    };
    let mut source = literal(before);
    source += &literal(&prompt.around[0]);
    for (place, after) in prompt.places.iter().zip(&prompt.around[1..]) {
        let text = content(place.role());
        if place.spaced {
            source += &format!("{{% if {text} %}}{{{{ \" \" }}}}{{% endif %}}");
        }
        source += &format!("{{{{ {text} }}}}{}", literal(after));
    }
    source + &literal(after)
}

/// The files that hold a folder's chat template.
pub(super) fn files(folder: &Path) -> Vec<PathBuf> {
    [FILE].map(|name| folder.join(name)).into_iter().filter(|path| path.exists()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CORPUS: [&str; 2] = ["query: red shoes document: cheap", "red shoes"];

    fn template(source: &str, prompt: &str) -> Result<Template> {
        let tokenizer = Tokenizer::train_byte_level_bpe(CORPUS.iter(), 270).unwrap();
        ChatTemplate { path: FILE.into(), source: source.to_owned(), adds_generation_prompt: false }
            .template(&tokenizer, prompt)
    }

    #[test]
    fn a_rankers_template_becomes_a_text() {
        let source = "{%- for m in messages if m.role == 'system' %}{{ m.content.strip() }}\n{% endfor %}{{ bos_token }}\
                      <q>: {{ messages | selectattr('role', 'eq', 'query') | map(attribute='content') | first }}\n\
                      <d>: {{ (messages | selectattr('role', 'eq', 'document') | first).content }}</s>";
        let text = |text: &str| Template::Prompt { text: text.to_owned(), special_tokens: false };
        assert_eq!(template(source, "").unwrap(), text("<s><q>: {query}\n<d>: {document}</s>"));
        assert_eq!(template(source, " judge ").unwrap(), text("judge\n<s><q>: {query}\n<d>: {document}</s>"));
    }

    #[test]
    fn templates_that_lose_or_repeat_a_text_are_refused() {
        for source in [
            "{{ messages[0].content }}",
            "{% for m in messages + messages %}{{ m.content }}{% endfor %}",
            "{{ raise_exception('no') }}",
            "{% if %}",
            "{% for m in messages %}{{ m.content | lower }}{% endfor %}",
            "{% for m in messages %}{{ m.content[:20] }}{% endfor %}",
            "{% for m in messages %}{{ m.content | tojson }}{% endfor %}",
            "{% for m in messages %}{{ m.content }}{% if m.content | length > 30 %}!{% endif %}{% endfor %}",
        ] {
            let error = template(source, "").unwrap_err().to_string();
            assert!(error.starts_with("chat_template.jinja: expected a chat template that renders"), "{error}");
        }
    }

    #[test]
    fn a_template_for_rankers_names_both_roles() {
        let names = |source: &str| {
            ChatTemplate { path: FILE.into(), source: source.to_owned(), adds_generation_prompt: false }
                .names_both_roles()
        };
        assert!(names("selectattr(\"role\", \"eq\", \"query\") m.role == 'document'"));
        assert!(!names("{{ message['role'] }}: {{ message.content }} query document"));
    }

    #[test]
    fn the_chat_template_of_a_prompt_renders_it() {
        for text in ["a \"b\"\n{{x}}:{query} d{ document}</s>", "{ document} of{ query}", "{document}{query}"] {
            let prompt = Prompt::parse(text).unwrap();
            let source = of_prompt(&prompt, "<s>", "</s>");
            let spaced = text.replace("{ ", " {");
            let expected = Template::Prompt { text: format!("<s>{spaced}</s>"), special_tokens: false };
            assert_eq!(template(&source, "").unwrap(), expected, "{source}");
            assert!(ChatTemplate { path: FILE.into(), source, adds_generation_prompt: false }.names_both_roles());
        }
    }
}
