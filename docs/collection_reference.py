"""What the models of configs/scifact.toml reach in PyTorch by the same method: an LLM learns to rank and teaches a small BERT.

A collection of the BEIR layout is read once, with BM25's first documents and all token ids, into one file:

    python collection_reference.py --prepare --data DIR --llm DIR --encoder DIR --cache scifact.npz

Then a run trains and measures the models and appends a line of JSON for each phase. Its configuration changes the DEFAULTS below,
and null leaves a phase out:

    python collection_reference.py --cache scifact.npz --llm DIR --encoder DIR --config '{"rank": {"lr": 2e-4}}' --out out.jsonl

All choices are made on validation queries, a part of the official training queries; `--test` measures the test queries too.

The recipe's rates were chosen by this script's validation figures, NDCG@10 on one fold (154 claims, BM25 0.720 alone):
- Before, with one list a step and a rate of 4e-5, the teacher reached 0.556 (0.757 with BM25).
- With these rates, four lists a step and 300 + 200 + 80 steps without pre-training, it reached 0.769 (0.799 with BM25).
- A student of six layers, whose teacher reached 0.723 (0.770 with BM25), reached 0.782; the same student from labels alone 0.771.

Needs torch, transformers, tokenizers, numpy and scipy, and snowballstemmer to prepare with the analyzer "english".
"""
import argparse, copy, gzip, hashlib, json, os, re, time  # noqa: E401

import numpy as np
import torch
import transformers
from scipy.sparse import csr_matrix
from tokenizers import Tokenizer

# layer_decay: how the rate falls from layer to layer. average_last: the share of the steps whose weights are averaged in the end.
# max_tokens: those of a sequence in the steps of a phase, where they are fewer than the model's.
TRAINING = {"layer_decay": 0.95, "average_last": 0.2, "warmup": 0.1, "weight_decay": 0.01, "dropout": 0.0, "max_tokens": None}
RANK = TRAINING | {"lists_per_step": 4, "list_size": 6, "negatives_from_rank": 1, "max_tokens": 192}
DEFAULTS = {
    "fold": 0, "validation": 0.2, "seed": 42,
    "teacher": {"template": "query: {query} document: {document}<eos>", "max_tokens": 288},  # <eos>: the LLM's end token
    "cpt": TRAINING | {"steps": 60, "lr": 1e-4, "packs_per_step": 4, "pack_tokens": 512, "layer_decay": 1.0, "average_last": 0},
    "titles": RANK | {"steps": 140, "lr": 2e-4, "negatives_depth": 30, "average_last": 0, "max_tokens": 112},
    "rank": RANK | {"steps": 130, "lr": 1e-4, "negatives_depth": 50},
    "mined": RANK | {"steps": 24, "lr": 5e-5, "candidates": 12, "negatives_depth": 12, "relative_margin": 0.05},
    # Generated queries, and the documents of a list: the first ones, some of those below, and some of the whole collection.
    "score": {"titles": 200, "sentences": 250, "top": 6, "sampled": 3, "random": 1},
    "student": {"layers": None, "max_tokens": 288},  # layers: those that are kept, such as [0, 2, 4]; null keeps all
    "distill": TRAINING | {"steps": 1000, "lr": 1e-4, "lists_per_step": 1, "list_size": 10, "alpha": 0.3, "max_tokens": 224},
    "labels_only": RANK | {"steps": 150, "lr": 1e-4, "list_size": 8, "negatives_depth": 50, "max_tokens": 224},
}
STOP_WORDS = set("""a an and are as at be but by for if in into is it no not of on or such that the their then there these they
this to was will with""".split())
DEPTH, RANDOM = 50, 2  # documents of BM25, and of the whole collection, for each query

def analyzer(name):
    """A function from a text to BM25's tokens: all words, or English stems without stop words."""
    if name == "unicode":
        return lambda text: re.findall(r"\w+", text.lower())
    import snowballstemmer
    stem = snowballstemmer.stemmer("english").stemWord
    return lambda text: [stem(word) for word in re.findall(r"\w+", text.lower()) if word not in STOP_WORDS]

def bm25_of(texts, tokens_of, k1=0.9, b=0.4):
    """A function from a query to BM25's scores of all texts, with Lucene's idf and Anserini's k1 and b."""
    words = {}
    ids = [[words.setdefault(word, len(words)) for word in tokens_of(text)] for text in texts]
    lengths = np.array([len(x) for x in ids])
    places = np.repeat(np.arange(len(texts)), lengths), np.concatenate(ids)
    counts = csr_matrix((np.ones(lengths.sum()), places), shape=(len(texts), len(words)))  # equal places are added up
    frequencies = np.bincount(counts.indices, minlength=len(words))
    idf = np.log(1 + (len(texts) - frequencies + 0.5) / (frequencies + 0.5))
    norms = np.repeat(k1 * (1 - b + b * lengths / lengths.mean()), np.diff(counts.indptr))
    counts.data = idf[counts.indices] * counts.data / (counts.data + norms)
    weights = counts.T.tocsr()
    def scores(query):
        rows = weights[[words[word] for word in tokens_of(query) if word in words]]
        return np.bincount(rows.indices, rows.data, minlength=len(texts))
    return scores

def read_beir(folder):
    """Documents, texts of the queries, and the judgments of both splits: (query, document, grade)."""
    path = f"{folder}/corpus.jsonl"
    with open(path, encoding="utf-8") if os.path.exists(path) else gzip.open(path + ".gz", "rt", encoding="utf-8") as file:
        documents = [json.loads(line) for line in file]
    with open(f"{folder}/queries.jsonl", encoding="utf-8") as file:
        texts = {query["_id"]: " ".join(query["text"].split()) for query in map(json.loads, file)}
    number, judged = {document["_id"]: i for i, document in enumerate(documents)}, []
    for split in ("train", "test"):
        with open(f"{folder}/qrels/{split}.tsv", encoding="utf-8") as file:
            lines = [line.split() for line in file][1:]
        judged.append([(query, number[document], int(grade)) for query, document, grade in lines])
    return documents, texts, judged

def generated_queries(titles, bodies, random):
    """Titles, and two sentences of each document, in a random order, each as its document and its text."""
    order = random.permutation(len(titles))
    from_titles, from_bodies = [(d, titles[d]) for d in order if titles[d] and bodies[d]], []
    for d in order:
        sentences = [s for s in re.split(r"(?<=[.!?])\s+(?=[A-Z])", bodies[d]) if 5 <= len(s.split()) <= 40]
        from_bodies += [(d, sentences[i]) for i in random.permutation(len(sentences))[:2]]
    return from_titles, from_bodies

def prepare(args):
    """Reads the collection and writes the one file that runs read: token ids are there one text after another."""
    documents, texts, judged = read_beir(args.data)
    titles, bodies = ([" ".join(d[key].split()) for d in documents] for key in ("title", "text"))
    random = np.random.default_rng(42)
    from_titles, from_bodies = generated_queries(titles, bodies, random)
    split_of = {query: split for split, lines in enumerate(judged) for query, _, _ in lines}
    place = {query: i for i, query in enumerate(split_of)}
    judged = np.array([(place[query], d, grade) for lines in judged for query, d, grade in lines], np.int32)
    queries = [texts[query] for query in split_of] + [text for _, text in from_titles + from_bodies]
    bm25 = bm25_of([f"{title} {body}" for title, body in zip(titles, bodies)], analyzer(args.analyzer))
    candidates, scores, judged_scores = [], [], np.zeros(len(judged))
    for i, query in enumerate(queries):
        all_scores = bm25(query)
        first = np.argsort(-all_scores, kind="stable")[:DEPTH]
        candidates.append(np.concatenate([first, random.integers(0, len(titles), RANDOM)]))
        scores.append(all_scores[candidates[-1]])
        judged_scores = np.where(judged[:, 0] == i, all_scores[judged[:, 1]], judged_scores)
    out = {"candidates": np.array(candidates, np.uint16), "bm25": np.array(scores, np.float32),
           "query_ids": np.array(list(split_of)), "query_split": np.array(list(split_of.values()), np.int8),
           "sources": np.array([d for d, _ in from_titles + from_bodies], np.int32), "titles": np.int32(len(from_titles)),
           "judged": judged, "judged_bm25": judged_scores.astype(np.float32)}
    for model, folder, space in [("llm", args.llm, " "), ("encoder", args.encoder, "")]:  # a decoder's words begin with spaces
        tokenizer = Tokenizer.from_file(f"{folder}/tokenizer.json")
        tokenizer.no_truncation()
        tokenizer.no_padding()
        for name, parts, most in [("title", titles, 128), ("body", bodies, 1024), ("query", queries, 128)]:
            encoded = tokenizer.encode_batch([space + text if text else text for text in parts], add_special_tokens=False)
            out[f"{model}_{name}"] = np.concatenate([np.array(text.ids[:most], np.uint16) for text in encoded])
            out[f"{model}_{name}_at"] = np.cumsum([0] + [min(most, len(text.ids)) for text in encoded]).astype(np.int32)
    np.savez_compressed(args.cache, **out)

class Data:
    """What `prepare` wrote, and the judgments query by query."""
    def __init__(self, path):
        vars(self).update(np.load(path))
        self.candidates = self.candidates.astype(np.int64)
        self.grades, self.relevant_bm25 = [{} for _ in self.candidates], {}
        for (query, document, grade), score in zip(self.judged.tolist(), self.judged_bm25):
            self.grades[query][document] = grade
            self.relevant_bm25[query, document] = score

    def pieces(self, model, name):
        """A function from a number to token ids, such as those of the title of a document."""
        flat, at = getattr(self, f"{model}_{name}"), getattr(self, f"{model}_{name}_at")
        return lambda number: flat[at[number]:at[number + 1]]

    def split(self, fold, share):
        """Training, validation and test queries; folds validate different queries, by the hashes of their ids."""
        u = np.array([int(hashlib.sha256(str(q).encode()).hexdigest()[:8], 16) / 2**32 for q in self.query_ids])
        held_out = (u + fold * share) % 1 < share
        official = self.query_split == 0
        return np.flatnonzero(official & ~held_out), np.flatnonzero(official & held_out), np.flatnonzero(~official)

    def generated(self, titles, sentences):
        """Numbers of that many generated queries."""
        every = np.arange(len(self.query_ids), len(self.candidates))
        return np.r_[every[:self.titles][:titles], every[self.titles:][:sentences]]

def metrics(data, queries, scores):
    """NDCG@10 and MRR@10 of the order of BM25's first documents by scores, a row for each query."""
    ndcg, mrr, discounts = [], [], 1 / np.log2(np.arange(2, 12))
    for query, row in zip(queries, scores):
        grades = data.grades[query]
        ideal = np.array(sorted(grades.values(), reverse=True)[:10])
        found = data.candidates[query, :DEPTH][np.argsort(-row, kind="stable")[:10]]
        gains = np.array([grades.get(int(d), 0) for d in found])
        ndcg.append((2.0 ** gains - 1) @ discounts / ((2.0 ** ideal - 1) @ discounts[:len(ideal)]))
        mrr.append(1 / (1 + np.argmax(gains > 0)) if (gains > 0).any() else 0.0)
    return {"ndcg@10": round(float(np.mean(ndcg)), 4), "mrr@10": round(float(np.mean(mrr)), 4)}

def standardised(scores):
    """The scores of each list, a row, with mean 0 and deviation 1."""
    return (scores - scores.mean(-1, keepdims=True)) / np.maximum(scores.std(-1, keepdims=True), 1e-6)

def mixed(weight, scores, bm25):
    """The scores of a model with those of BM25."""
    return weight * standardised(scores) + (1 - weight) * standardised(bm25)

def evaluate(ranker, data, splits, test):
    """Metrics of the ranker alone and with BM25, whose weight is that which is best on the validation queries."""
    result = {}
    for name, queries in [("validation", splits[1]), ("test", splits[2])][:2 if test else 1]:
        found, bm25 = data.candidates[queries, :DEPTH], data.bm25[queries, :DEPTH]
        scores = ranker.scores(np.repeat(queries, DEPTH), found.ravel()).reshape(found.shape)
        if name == "validation":
            weights = [(metrics(data, queries, mixed(w, scores, bm25))["ndcg@10"], w) for w in np.linspace(0, 1, 21).round(2)]
            result["weight"] = float(max(weights)[1])
        with_bm25 = metrics(data, queries, mixed(result["weight"], scores, bm25))
        result[name] = metrics(data, queries, scores) | {"with_" + key: value for key, value in with_bm25.items()}
        result[name]["bm25"] = metrics(data, queries, bm25)["ndcg@10"]
    return result

def reader(data, model, before, between, after, max_tokens):
    """A function from a query and a document to their token ids between fixed ones, and where the document begins."""
    title, body, query = (data.pieces(model, name) for name in ("title", "body", "query"))
    def read(q, d, titles=True, most=None):
        most = min(most or max_tokens, max_tokens)
        document = np.concatenate([title(d), body(d)]) if titles else body(d)
        start = np.concatenate([before, query(q)[:most // 2], between])
        room = most - len(start) - len(after)
        return np.concatenate([start, document[:room], after]).astype(np.int64), len(start)
    return read

class Ranker(torch.nn.Module):
    """A model of the score of a pair: a linear head on the last token of a decoder, or on the first one of an encoder."""
    def __init__(self, folder, read, device, seed, layers=None):
        super().__init__()
        torch.manual_seed(seed)
        self.read, self.device = read, device
        self.base = transformers.AutoModel.from_pretrained(folder, dtype=torch.float32, attn_implementation="sdpa")
        self.decoder = self.base.config.model_type == "llama"
        if layers:
            self.base.encoder.layer = torch.nn.ModuleList(self.base.encoder.layer[i] for i in layers)
            self.base.config.num_hidden_layers = len(layers)
        self.head = torch.nn.Linear(self.base.config.hidden_size, 1, bias=False)
        torch.nn.init.normal_(self.head.weight, std=0.02)
        self.autocast = lambda: torch.autocast(device, torch.bfloat16, enabled=device == "cuda")
        self.to(device)

    def forward(self, pairs):
        """The scores of pairs as `read` makes them."""
        lengths = np.array([len(ids) for ids, _ in pairs])
        padded = np.zeros((len(pairs), -(-lengths.max() // 8) * 8), np.int64)
        segments = np.zeros_like(padded)
        for row, (ids, start) in enumerate(pairs):
            padded[row, :len(ids)], segments[row, start:len(ids)] = ids, 1
        ids, segments, lengths = (torch.from_numpy(array).to(self.device) for array in (padded, segments, lengths))
        real = torch.arange(ids.shape[1], device=self.device) < lengths[:, None]
        # Padding is on the right, where the causal mask of a decoder hides it.
        inputs = {"use_cache": False} if self.decoder else {"attention_mask": real, "token_type_ids": segments}
        with self.autocast():
            hidden = self.base(input_ids=ids, **inputs).last_hidden_state
        pooled = hidden[torch.arange(len(pairs), device=self.device), lengths - 1] if self.decoder else hidden[:, 0]
        return self.head(pooled.float())[:, 0]

    def scores(self, queries, documents, tokens_per_batch=65536):
        """Scores of many pairs, in batches of about equal lengths, as one array."""
        pairs = [self.read(q, d) for q, d in zip(queries, documents)]
        order = sorted(range(len(pairs)), key=lambda i: -len(pairs[i][0]))
        self.eval()
        scores = torch.empty(len(order), device=self.device)
        with torch.inference_mode():
            while order:
                size = max(1, tokens_per_batch // len(pairs[order[0]][0]))
                batch, order = order[:size], order[size:]
                scores[batch] = self([pairs[i] for i in batch])
        return scores.cpu().numpy()

def parameter_groups(ranker, phase):
    """Groups of weights for AdamW, each with its share of the rate: less in lower layers."""
    layers, groups = ranker.base.config.num_hidden_layers, {}
    for name, weights in ranker.named_parameters():
        number = re.search(r"\.layers?\.(\d+)\.", name)
        above = layers - int(number[1]) if number else layers + 1 if "embed" in name else 0
        share, decay = phase["layer_decay"] ** above, phase["weight_decay"] * (weights.ndim > 1)
        groups.setdefault((share, decay), {"params": [], "share": share, "weight_decay": decay})["params"].append(weights)
    return list(groups.values())

def optimise(ranker, phase, loss_of_step):
    """Steps of AdamW; the weights in the end are the mean of those of the last steps. Returns mean losses of four parts."""
    for module in ranker.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = phase["dropout"]
    parameters = list(ranker.parameters())
    optimizer = torch.optim.AdamW(parameter_groups(ranker, phase), lr=0.0, betas=(0.9, 0.999))
    steps, warmup = phase["steps"], max(1, round(phase["warmup"] * phase["steps"]))
    average_from, average, losses = steps - round(phase["average_last"] * steps), None, []
    ranker.train()
    for step in range(steps):
        rate = phase["lr"] * min((step + 1) / warmup, (steps - step) / max(1, steps - warmup))
        for group in optimizer.param_groups:
            group["lr"] = rate * group["share"]
        loss = loss_of_step()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        losses.append(loss.detach())
        if step >= average_from:
            average = average or [torch.zeros_like(p) for p in parameters]
            torch._foreach_lerp_(average, [p.detach() for p in parameters], 1 / (step - average_from + 1))
    if average:
        ranker.load_state_dict({name: weights for (name, _), weights in zip(ranker.named_parameters(), average)})
    means = [part.mean().item() for part in torch.stack(losses).tensor_split(min(4, steps))]
    return [round(mean, 4) for mean in means]

def hybrid_loss(scores, targets, alpha):
    """The squared error of the scores, and that of the differences of each two of a list."""
    size, errors = scores.shape[1], scores - targets
    pairs = (errors[:, :, None] - errors[:, None, :]).square().sum() / (len(scores) * size * (size - 1))
    return alpha * errors.square().mean() + (1 - alpha) * pairs

def endless(items, random):
    """The items in random order, again and again."""
    while True:
        yield from (items[i] for i in random.permutation(len(items)))

def learn_texts(ranker, data, phase, random, eos, newline):
    """Continued pre-training: the next token of titles with their abstracts below, in packs of equal length."""
    title, body = data.pieces("llm", "title"), data.pieces("llm", "body")
    size = phase["packs_per_step"] * phase["pack_tokens"]
    documents, buffer = endless(range(len(data.llm_title_at) - 1), random), np.empty(0, np.int64)
    def loss():
        nonlocal buffer
        while len(buffer) < size:
            d = next(documents)
            buffer = np.concatenate([buffer, title(d), newline, body(d), [eos]]).astype(np.int64)
        ids = torch.from_numpy(buffer[:size].reshape(phase["packs_per_step"], -1)).to(ranker.device)
        buffer = buffer[size:]
        with ranker.autocast():
            hidden = ranker.base(input_ids=ids, use_cache=False).last_hidden_state[:, :-1].flatten(0, 1)
            logits = hidden @ ranker.base.get_input_embeddings().weight.T  # the output embeddings are tied to them
        return torch.nn.functional.cross_entropy(logits.float(), ids[:, 1:].flatten())
    return optimise(ranker, phase, loss)

def learn_lists(ranker, phase, lists, random):
    """The softmax loss of lists: (query, relevant document, negatives to draw from, whether titles are shown)."""
    order, others = endless(lists, random), phase["list_size"] - 1
    def loss():
        pairs = []
        for query, relevant, negatives, titles in (next(order) for _ in range(phase["lists_per_step"])):
            drawn = random.choice(negatives, others, replace=len(negatives) < others)
            pairs += [ranker.read(query, d, titles, phase["max_tokens"]) for d in [relevant, *drawn]]
        scores = ranker(pairs).view(-1, phase["list_size"])
        return torch.nn.functional.cross_entropy(scores, torch.zeros(len(scores), dtype=torch.long, device=ranker.device))
    return optimise(ranker, phase, loss)

def learn_scores(ranker, phase, scored, random):
    """The hybrid loss of random parts of the scored lists."""
    queries, lists, targets = scored
    order = endless(range(len(queries)), random)
    def loss():
        pairs, wanted = [], []
        for row in (next(order) for _ in range(phase["lists_per_step"])):
            places = random.permutation(lists.shape[1])[:phase["list_size"]]
            pairs += [ranker.read(queries[row], d, True, phase["max_tokens"]) for d in lists[row][places]]
            wanted.append(targets[row][places])
        wanted = torch.from_numpy(np.array(wanted)).to(ranker.device)
        return hybrid_loss(ranker(pairs).view(wanted.shape), wanted, phase["alpha"])
    return optimise(ranker, phase, loss)

def title_lists(data, phase):
    """Titles as queries, each with the document that it was taken from; documents are shown without their titles."""
    found = data.candidates[:, phase["negatives_from_rank"] - 1:phase["negatives_depth"]]
    sources = enumerate(data.sources[:data.titles], len(data.query_ids))
    return [(q, d, [other for other in found[q] if other != d], False) for q, d in sources]

def judged_lists(data, queries, phase, mined=None):
    """Judged documents of queries, with negatives from BM25, or from `mined`, which has those of each query."""
    lists = []
    for row, query in enumerate(queries):
        grades, candidates = data.grades[query], data.candidates[query, :DEPTH]
        free = [int(d) for d in (candidates if mined is None else mined[row]) if int(d) not in grades]
        negatives = free[phase["negatives_from_rank"] - 1:phase["negatives_depth"]]
        missing = phase["list_size"] - 1 - len(negatives)
        if missing > 0:  # the last documents of BM25 fill the few lists of which the teacher is least sure
            negatives += [int(d) for d in candidates[::-1] if int(d) not in grades and int(d) not in negatives][:missing]
        lists += [(query, d, negatives, True) for d, grade in grades.items() if grade > 0]
    return lists

def mined_negatives(ranker, data, queries, phase):
    """BM25's first documents by the ranker's scores, for each query, without those near or above its best relevant document."""
    mined = []
    for query in queries:
        relevant = [d for d, grade in data.grades[query].items() if grade > 0]
        documents = np.r_[relevant, data.candidates[query, :phase["candidates"]]]
        probabilities = 1 / (1 + np.exp(-ranker.scores([query] * len(documents), documents)))
        limit = probabilities[:len(relevant)].max() * (1 - phase["relative_margin"])
        mined.append([d for p, d in sorted(zip(-probabilities, documents)) if -p <= limit])
    return mined

def train_teacher(run, config, data, training):
    """Trains the teacher phase by phase; returns it with its metrics."""
    eos = transformers.AutoConfig.from_pretrained(run.args.llm).eos_token_id
    tokenizer = Tokenizer.from_file(f"{run.args.llm}/tokenizer.json")
    fixed = re.split(r"\{query\}|\{document\}", config["teacher"]["template"].replace("<eos>", tokenizer.id_to_token(eos)))
    fixed = [tokenizer.encode(text.rstrip(" "), add_special_tokens=False).ids for text in fixed]
    teacher = Ranker(run.args.llm, reader(data, "llm", *fixed, config["teacher"]["max_tokens"]), run.device, config["seed"])
    if config["cpt"]:
        newline = tokenizer.encode("\n", add_special_tokens=False).ids
        run.report("cpt", losses=learn_texts(teacher, data, config["cpt"], run.random, eos, newline))
    found = None
    for name in [name for name in ("titles", "rank", "mined") if config[name]]:
        phase = config[name]
        mined = mined_negatives(teacher, data, training, phase) if name == "mined" else None
        lists = title_lists(data, phase) if name == "titles" else judged_lists(data, training, phase, mined)
        losses = learn_lists(teacher, phase, lists, run.random)
        found = run.measured(teacher, name, losses)
    return teacher, found or run.measured(teacher, "teacher", [])

def scored_lists(run, options, data, training, teacher, weight):
    """Lists of the training claims and of generated queries, and the scores of the teacher with that weight beside BM25."""
    queries = np.concatenate([training, data.generated(options["titles"], options["sentences"])])
    top, sampled, lists, bm25 = options["top"], options["sampled"], [], []
    for query in queries:
        below = top + run.random.permutation(DEPTH - top)[:sampled]
        places = np.r_[:top, below, DEPTH:DEPTH + options["random"]]
        documents, scores = data.candidates[query, places], data.bm25[query, places]
        missing = [d for d, grade in data.grades[query].items() if grade > 0 and d not in documents]
        for place, d in zip(range(top + sampled - 1, top - 1, -1), missing):  # relevant documents take the sampled places
            documents[place], scores[place] = d, data.relevant_bm25[int(query), d]
        lists.append(documents)
        bm25.append(scores)
    lists, bm25 = np.array(lists), np.array(bm25)
    scores = teacher.scores(np.repeat(queries, lists.shape[1]), lists.ravel()).reshape(lists.shape)
    run.report("score", pairs=lists.size, weight=weight)
    return queries, lists, standardised(mixed(weight, scores, bm25)).astype(np.float32)

class Run:
    """One configuration: its phases one after another, each a line of the output."""
    def __init__(self, args, given):
        self.args, self.given, self.started = args, given, time.time()
        self.config, self.data = completed(given), Data(args.cache)
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.splits = self.data.split(self.config["fold"], self.config["validation"])
        self.random = np.random.default_rng(self.config["seed"])

    def report(self, phase, **what):
        """Appends a line, with the seconds since the start."""
        line = {"name": self.args.name, "phase": phase, "seconds": round(time.time() - self.started, 1)}
        with open(self.args.out, "a", encoding="utf-8") as file:
            file.write(json.dumps(line | what | {"config": self.given}) + "\n")

    def measured(self, ranker, phase, losses):
        """The metrics of a model, which are also appended."""
        found = evaluate(ranker, self.data, self.splits, self.args.test)
        self.report(phase, metrics=found, losses=losses)
        return found

    def student(self):
        """The student before it is trained."""
        tokenizer, options = Tokenizer.from_file(f"{self.args.encoder}/tokenizer.json"), self.config["student"]
        cls, sep = ([tokenizer.token_to_id(token)] for token in ("[CLS]", "[SEP]"))
        read = reader(self.data, "encoder", cls, sep, sep, options["max_tokens"])
        return Ranker(self.args.encoder, read, self.device, self.config["seed"], options["layers"])

    def all(self):
        """All phases."""
        config, data, training = self.config, self.data, self.splits[0]
        if any(config[phase] for phase in ("cpt", "titles", "rank", "mined", "score")):
            teacher, found = train_teacher(self, config, data, training)
            scored = config["score"] and scored_lists(self, config["score"], data, training, teacher, found["weight"])
            if scored and config["distill"]:
                student = self.student()
                self.measured(student, "distill", learn_scores(student, config["distill"], scored, self.random))
        phase = config["labels_only"]
        if phase:
            student, lists = self.student(), judged_lists(data, training, phase)
            self.measured(student, "labels_only", learn_lists(student, phase, lists, self.random))

def completed(config):
    """The configuration with the defaults for what it does not say."""
    whole = copy.deepcopy(DEFAULTS)
    for key, value in config.items():
        unknown = {key} - set(DEFAULTS) or (set(value) - set(DEFAULTS[key]) if isinstance(value, dict) else set())
        if unknown:
            raise ValueError(f"unknown keys in the configuration: {unknown}")
        whole[key] = whole[key] | value if isinstance(value, dict) else value
    return whole

def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prepare", action="store_true", help="write the file --cache from --data")
    parser.add_argument("--data", help="a folder of the BEIR layout")
    parser.add_argument("--llm", required=True, help="a Hugging Face folder of a Llama decoder with tied embeddings")
    parser.add_argument("--encoder", required=True, help="a Hugging Face folder of a BERT encoder")
    parser.add_argument("--cache", required=True, help="the file with the collection, its token ids and BM25's lists")
    parser.add_argument("--analyzer", default="english", choices=["english", "unicode"], help="of BM25, for --prepare")
    parser.add_argument("--name", default="run", help="of the run, in each line")
    parser.add_argument("--config", default="{}", help="JSON with what differs from the defaults")
    parser.add_argument("--out", default="out.jsonl", help="lines are appended")
    parser.add_argument("--test", action="store_true", help="measure the test queries too")
    args = parser.parse_args()
    torch.set_float32_matmul_precision("high")
    prepare(args) if args.prepare else Run(args, json.loads(args.config)).all()

if __name__ == "__main__":
    main()
