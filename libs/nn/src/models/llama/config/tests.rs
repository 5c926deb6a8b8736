use super::*;

fn scaled(extra: Value) -> Value {
    let mut table = json!({
        "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    });
    table.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    table
}

#[test]
fn both_rotary_spellings_are_read() {
    let read = |config: Value| Llama::from_json(&config).unwrap();
    let old = read(json!({"rope_theta": 5e5, "rope_scaling": scaled(json!({}))}));
    let new = read(json!({"rope_parameters": scaled(json!({"rope_theta": 5e5}))}));
    assert_eq!(old, new);
    assert_eq!((old.rope_theta, old.rope_scaling.unwrap().factor), (5e5, 8.0));
    let plain = read(json!({"rope_theta": 5e5, "rope_scaling": null}));
    assert_eq!(plain, read(json!({"rope_parameters": {"rope_theta": 5e5, "rope_type": "default"}})));
    assert_eq!(plain, Llama { rope_theta: 5e5, ..Llama::default() });
}

#[test]
fn windows_follow_the_family() {
    let windows = |config: Value| {
        let config = Llama::from_json(&config).unwrap();
        (0..3).map(|layer| config.window(layer)).collect::<Vec<_>>()
    };
    let layers = 3;
    assert_eq!(windows(json!({"model_type": "llama", "sliding_window": 7})), [None; 3]);
    assert_eq!(windows(json!({"model_type": "mistral"})), [Some(4096); 3]);
    assert_eq!(windows(json!({"model_type": "mistral", "sliding_window": null})), [None; 3]);
    for family in ["qwen2", "qwen3"] {
        let off = json!({"model_type": family, "sliding_window": 7, "max_window_layers": 0});
        assert_eq!(windows(off), [None; 3]);
        let late = json!({
            "model_type": family, "use_sliding_window": true, "sliding_window": 7, "max_window_layers": 2,
        });
        assert_eq!(windows(late), [None, None, Some(7)]);
        let types = json!({
            "model_type": family, "use_sliding_window": true, "sliding_window": 7, "num_hidden_layers": layers,
            "layer_types": ["sliding_attention", "full_attention", "full_attention"],
        });
        assert_eq!(windows(types), [Some(7), None, None]);
    }
}

#[test]
fn what_is_absent_is_what_transformers_assumes() {
    let read = |family| Llama::from_json(&json!({"model_type": family})).unwrap();
    assert_eq!((read("llama").kv_heads(), read("mistral").kv_heads(), read("qwen2").kv_heads()), (32, 8, 32));
    assert_eq!((read("qwen2").head_width(), read("qwen3").head_width()), (4096 / 32, 128));
    let narrow = json!({"model_type": "qwen3", "hidden_size": 1024, "num_attention_heads": 32});
    assert_eq!(Llama::from_json(&narrow).unwrap().head_width(), 128);
}

#[test]
fn what_is_written_is_read_back() {
    let scaling = RotaryScaling::deserialize(scaled(json!({}))).unwrap();
    let base = Llama { pad_token_id: Some(3), rope_scaling: Some(scaling), ..Llama::default() };
    for (family, window) in [
        (Family::Llama, None),
        (Family::Mistral, None),
        (Family::Mistral, Some(9)),
        (Family::Qwen2, None),
        (Family::Qwen3, Some(9)),
    ] {
        let layers = Some(3).filter(|_| matches!(family, Family::Qwen2 | Family::Qwen3));
        let config = Llama {
            family,
            sliding_window: window,
            max_window_layers: layers,
            num_key_value_heads: Some(8),
            head_dim: Some(64),
            ..base.clone()
        };
        let json = config.to_json(Head::Score).unwrap();
        assert_eq!(json["rope_scaling"]["rope_type"], "llama3");
        assert_eq!(json["architectures"][0], format!("{}ForSequenceClassification", family.class()));
        assert_eq!(json["id2label"], json!({"0": "LABEL_0"}));
        assert_eq!(Llama::from_json(&json).unwrap(), config);
        assert!(config.to_json(Head::LanguageModel).unwrap().get("id2label").is_none());
    }
}

#[test]
fn impossible_configurations_are_refused_by_name() {
    let message = |config: Value| Llama::from_json(&config).unwrap_err().to_string();
    assert_eq!(
        message(json!({"num_attention_heads": 5})),
        "num_attention_heads = 5: expected a divisor of hidden_size = 4096"
    );
    assert_eq!(
        message(json!({"num_key_value_heads": 3})),
        "num_key_value_heads = 3: expected a divisor of num_attention_heads = 32"
    );
    assert_eq!(message(json!({"hidden_act": "gelu"})), "hidden_act = gelu: expected silu, the only one supported");
    assert_eq!(
        message(json!({"quantization_config": {"bits": 4}})),
        "quantization_config = {\"bits\":4}: expected null, the only value supported"
    );
}

#[test]
fn impossible_windows_are_refused_by_name() {
    let message = |config: Value| Llama::from_json(&config).unwrap_err().to_string();
    assert_eq!(
        message(json!({"model_type": "mistral", "layer_types": ["full_attention"]})),
        "layer_types = [\"full_attention\"]: expected null, the only value supported"
    );
    assert_eq!(
        message(json!({"model_type": "qwen3", "num_hidden_layers": 1, "layer_types": ["sliding_attention"]})),
        "layer_types = sliding_attention: expected full_attention, as sliding_window is off"
    );
    assert_eq!(
        message(json!({"model_type": "qwen2", "layer_types": ["full_attention"]})),
        "layer_types = 1 types: expected num_hidden_layers = 32"
    );
    assert_eq!(
        message(json!({"model_type": "mistral", "sliding_window": 0})),
        "sliding_window = 0: expected at least 1"
    );
}

#[test]
fn other_rotary_positions_are_refused_by_name() {
    let message = |config: Value| Llama::from_json(&config).unwrap_err().to_string();
    assert_eq!(
        message(json!({"rope_parameters": {"rope_type": "yarn"}})),
        "rope_type = \"yarn\": expected \"default\" or \"llama3\""
    );
    assert_eq!(
        message(json!({"rope_scaling": {"type": "linear", "factor": 2.0}})),
        "rope_type = \"linear\": expected \"default\" or \"llama3\""
    );
    assert_eq!(
        message(json!({"partial_rotary_factor": 0.5})),
        "partial_rotary_factor = 0.5: expected 1.0, the only value supported"
    );
    let nested = message(json!({"rope_parameters": {"full_attention": {"rope_theta": 1e4}}}));
    assert!(nested.starts_with("rope_parameters = {\"full_attention\": ...}: expected nothing but rope_type, "));
    assert_eq!(
        message(json!({"rope_scaling": scaled(json!({"high_freq_factor": 1.0}))})),
        "high_freq_factor = 1: expected a number above low_freq_factor = 1"
    );
    assert_eq!(
        message(json!({"rope_scaling": scaled(json!({"factor": 0.5}))})),
        "factor = 0.5: expected a number of at least 1"
    );
}
