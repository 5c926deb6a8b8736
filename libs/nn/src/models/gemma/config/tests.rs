use super::*;

fn read(config: Value) -> Gemma {
    Gemma::from_json(&config).unwrap()
}

fn message(config: Value) -> String {
    Gemma::from_json(&config).unwrap_err().to_string()
}

#[test]
fn what_is_absent_is_what_transformers_assumes() {
    let [first, second, third] =
        ["gemma", "gemma2", "gemma3_text"].map(|name| read(json!({"model_type": name, "num_hidden_layers": 7})));
    assert_eq!((first.hidden_size, second.hidden_size, third.hidden_size), (3072, 2304, 2304));
    assert_eq!((first.final_logit_softcapping, third.final_logit_softcapping), (None, None));
    assert_eq!((second.attn_logit_softcapping, second.final_logit_softcapping), (Some(50.0), Some(30.0)));
    assert_eq!((first.attention_scale(), second.attention_scale()), (1.0 / 16.0, 1.0 / 16.0));
    let slides = |config: &Gemma| (0..7).map(|layer| config.slides(layer)).collect::<Vec<_>>();
    assert_eq!(slides(&first), [false; 7]);
    assert_eq!(slides(&second), [true, false, true, false, true, false, true]);
    assert_eq!(slides(&third), [true, true, true, true, true, false, true]);
    assert_eq!((second.rope_theta, second.rope_local_base_freq), (1e4, None));
    assert_eq!((third.rope_theta, third.rope_local_base_freq), (1e6, Some(1e4)));
}

#[test]
fn older_files_mean_the_same() {
    let old = read(json!({
        "model_type": "gemma3_text", "num_hidden_layers": 4, "sliding_window": 7, "sliding_window_pattern": 3,
        "rope_theta": 5e5, "rope_local_base_freq": 2e4, "rope_scaling": {"rope_type": "linear", "factor": 8.0},
    }));
    let new = read(json!({
        "model_type": "gemma3_text", "num_hidden_layers": 4, "sliding_window": 7,
        "layer_types": ["sliding_attention", "sliding_attention", "full_attention", "sliding_attention"],
        "rope_parameters": {
            "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 5e5},
            "sliding_attention": {"rope_type": "default", "rope_theta": 2e4},
        },
    }));
    assert_eq!(old, new);
    assert_eq!((new.rope_scaling, new.sliding_window), (Some(LinearScaling { factor: 8.0 }), Some(7)));
    let old = read(json!({"model_type": "gemma2", "rope_theta": 5e5}));
    assert_eq!(
        old,
        read(json!({"model_type": "gemma2", "rope_parameters": {"rope_type": "default", "rope_theta": 5e5}}))
    );
    for act in ["gelu", "gelu_pytorch_tanh"] {
        let gemma = read(json!({"model_type": "gemma", "hidden_act": act, "hidden_activation": null}));
        assert_eq!(gemma, read(json!({"model_type": "gemma"})));
    }
}

#[test]
fn what_is_written_is_read_back() {
    let uncapped = json!({
        "model_type": "gemma2", "num_hidden_layers": 3, "attn_logit_softcapping": null, "pad_token_id": null,
        "final_logit_softcapping": null, "rope_scaling": {"type": "linear", "factor": 2.0},
    });
    let irregular = json!({
        "model_type": "gemma3_text", "num_hidden_layers": 3,
        "layer_types": ["full_attention", "sliding_attention", "full_attention"],
    });
    let all_slide = json!({"model_type": "gemma3_text", "num_hidden_layers": 3, "sliding_window_pattern": 4});
    for (config, class, pattern) in [
        (json!({"model_type": "gemma", "attention_bias": true}), "Gemma", Value::Null),
        (uncapped, "Gemma2", Value::Null),
        (json!({"model_type": "gemma3_text"}), "Gemma3Text", json!(6)),
        (irregular, "Gemma3Text", Value::Null),
        (all_slide, "Gemma3Text", json!(4)),
    ] {
        let config = read(config);
        let json = config.to_json(Head::Score).unwrap();
        assert_eq!(json["architectures"][0], format!("{class}ForSequenceClassification"));
        assert_eq!(json["sliding_window_pattern"], pattern);
        assert_eq!(read(json), config);
    }
    let language = read(json!({"model_type": "gemma3_text"})).to_json(Head::LanguageModel).unwrap();
    assert_eq!(language["architectures"][0], "Gemma3ForCausalLM");
}

#[test]
fn what_would_be_computed_wrongly_is_refused_by_name() {
    for family in ["gemma", "gemma2", "gemma3_text"] {
        assert_eq!(
            message(json!({"model_type": family, "use_bidirectional_attention": true})),
            "use_bidirectional_attention = true: expected false, the only value supported"
        );
        assert_eq!(
            message(json!({"model_type": family, "num_attention_heads": 5})),
            format!(
                "num_attention_heads = 5: expected a divisor of hidden_size = {}",
                read(json!({"model_type": family})).hidden_size
            )
        );
    }
    assert_eq!(
        message(json!({"model_type": "gemma3_text", "attn_logit_softcapping": 50.0})),
        "attn_logit_softcapping = 50.0: expected null, the only value supported"
    );
    assert_eq!(
        message(json!({"model_type": "gemma2", "hidden_activation": "gelu"})),
        "hidden_activation = gelu: expected gelu_pytorch_tanh, the only one supported"
    );
    assert_eq!(
        message(json!({"model_type": "gemma", "hidden_act": "relu"})),
        "hidden_act = relu: expected gelu_pytorch_tanh, the only one supported"
    );
    assert_eq!(
        message(json!({"model_type": "gemma2", "final_logit_softcapping": 0.0})),
        "final_logit_softcapping = 0: expected a number above 0"
    );
}

#[test]
fn impossible_windows_are_refused_by_name() {
    assert_eq!(
        message(json!({"model_type": "gemma2", "sliding_window": null})),
        "sliding_window = null: expected a number of tokens, as layer_types has sliding_attention"
    );
    assert_eq!(
        message(json!({"model_type": "gemma2", "layer_types": ["full_attention"]})),
        "layer_types = 1 types: expected num_hidden_layers = 26"
    );
    assert_eq!(
        message(json!({"model_type": "gemma3_text", "sliding_window_pattern": 0})),
        "sliding_window_pattern = 0: expected a number of layers from 1"
    );
}

#[test]
fn other_rotary_positions_are_refused_by_name() {
    assert_eq!(
        message(json!({"model_type": "gemma2", "rope_scaling": {"rope_type": "yarn", "factor": 2.0}})),
        "rope_type = \"yarn\": expected \"default\" or \"linear\""
    );
    assert_eq!(
        message(json!({"model_type": "gemma3_text", "rope_scaling": {"rope_type": "linear"}})),
        "factor = null: expected a number above 0, as rope_type is linear"
    );
    assert_eq!(
        message(json!({"model_type": "gemma3_text", "rope_parameters": {"rope_theta": 1e4}})),
        "rope_parameters = {\"rope_theta\": ...}: expected the tables full_attention and sliding_attention alone"
    );
    let stretched = json!({"sliding_attention": {"rope_type": "linear", "factor": 2.0}});
    assert_eq!(
        message(json!({"model_type": "gemma3_text", "rope_parameters": stretched})),
        "sliding_attention = rope_type linear: expected rope_type default"
    );
    assert_eq!(
        message(json!({"model_type": "gemma2", "rope_parameters": {"attention_factor": 2.0}})),
        "rope_parameters = {\"attention_factor\": ...}: expected nothing but rope_type, rope_theta and factor"
    );
}
