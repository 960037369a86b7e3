"""What each link computes, and what its task's loss trains, in closed form."""

import math
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from funnels import WIDTH, alone, batch_of, binary, model_of, number, random_labels, reached
from torch import Tensor

from mtl_lightning.chains import ESMM, Calibrator, ClassifierChain, Formula, Link, Mean, Product
from mtl_lightning.chains.probabilities import log_product
from mtl_lightning.errors import UserError
from mtl_lightning.tasks import MultiLabelClassification, SequenceClassification, Task, TokenClassification

INPUTS = batch_of(random_labels(["click"])).inputs


def positive(logits: Tensor, index: int = 1) -> Tensor:
    return logits.softmax(-1)[:, index]


def funnel(*later: str, **labels: Any) -> dict[str, Task]:
    return {task: binary(**labels) for task in ("click", *later)}


# -- ESMM ------------------------------------------------------------------------------------------------------------
def test_esmm_is_the_product_of_the_probabilities_over_all_examples() -> None:
    model = model_of({"buy": ESMM("click")}, funnel("buy"))
    found = model(INPUTS)
    expected = positive(alone(model, "click", INPUTS)) * positive(alone(model, "buy", INPUTS))
    torch.testing.assert_close(positive(found["buy"]), expected)
    torch.testing.assert_close(found["click"], alone(model, "click", INPUTS))
    torch.testing.assert_close(found["buy"].logsumexp(-1), torch.zeros(len(expected), dtype=torch.float64))


def test_esmm_goes_down_a_chain_and_takes_the_positive_label_wherever_it_stands() -> None:
    tasks = {"click": binary(positive="no"), "cart": binary(), "buy": binary(positive="no")}
    model = model_of({"buy": ESMM("cart"), "cart": ESMM("click")}, tasks)
    found, own = model(INPUTS), {task: alone(model, task, INPUTS) for task in tasks}
    cart = positive(own["click"], 0) * positive(own["cart"])
    torch.testing.assert_close(positive(found["cart"]), cart)
    torch.testing.assert_close(positive(found["buy"], 0), cart * positive(own["buy"], 0))


def test_esmm_learns_from_examples_without_a_click_what_a_head_on_clicks_does_not() -> None:
    model = model_of({"buy": ESMM("click")}, funnel("buy"))
    targets = {"click": torch.tensor([1, 0, 0]), "buy": torch.tensor([1, 0, 0])}
    found = model.losses([batch_of(targets)])
    click, buy = (positive(model(batch_of(targets).inputs)[task]) for task in ("click", "buy"))
    truth = targets["buy"]
    torch.testing.assert_close(found.losses["buy"], -torch.where(truth == 1, buy, 1 - buy).log().mean())
    assert click.shape == buy.shape
    assert reached(model, found.losses["buy"]) == {"click", "buy", "encoder"}
    assert reached(model, found.losses["click"]) == {"click", "encoder"}


def test_missing_labels_are_left_out() -> None:
    model = model_of({"buy": ESMM("click")}, funnel("buy"))
    targets = {"click": torch.tensor([1, 0, 1, 0]), "buy": torch.tensor([1, -100, 0, -100])}
    found = model.losses([batch_of(targets)]).losses["buy"]
    buy = positive(model(batch_of(targets).inputs)["buy"])
    torch.testing.assert_close(found, -(buy[0].log() + (1 - buy[2]).log()) / 2)
    assert "buy" not in model.losses([batch_of({**targets, "buy": torch.full((4,), -100)})]).losses


@pytest.mark.parametrize(
    ("buy", "doubtful"),
    [
        ([1, -100, 0, -100], "none of the 2 examples of the first batch that are negative for 'click' is labelled"),
        ([1, 1, 0, -100], "1 of 2 examples of the first batch that are positive for 'buy' are negative for 'click'"),
        ([1, 0, 0, -100], ""),
        ([1, 0, 0, 0], ""),
    ],
    ids=["clicks alone", "no click", "some are missing", "all"],
)
def test_doubtful_labels_are_said_once(buy: list[int], doubtful: str, caplog: Any) -> None:
    model = model_of({"buy": ESMM("click")}, funnel("buy"))
    targets = {"click": torch.tensor([1, 0, 1, 0]), "buy": torch.tensor(buy)}
    model.losses([batch_of({"click": targets["click"]})])
    for _ in range(2):
        model.losses([batch_of(targets)])
    said = f"model.chain.buy: {doubtful}"
    assert [message.startswith(said) for message in caplog.messages] == [True] * bool(doubtful)


def test_detached_it_leaves_the_earlier_task_alone() -> None:
    model = model_of({"buy": ESMM("click", detach=True)}, funnel("buy"))
    loss = model.losses([batch_of(random_labels(["click", "buy"]))]).losses["buy"]
    assert reached(model, loss) == {"buy", "encoder"}


@pytest.mark.parametrize("size", [1.0, 30.0, 1e3, 1e8])
def test_products_neither_cancel_nor_overflow_in_float32(size: float) -> None:
    odds = [size * torch.tensor([1.0, -1.0, 1.0, -1.0]), size * torch.tensor([1.0, 1.0, -1.0, -1.0])]
    exact = [each.double() for each in odds]
    for each in (*odds, *exact):
        each.requires_grad_()
    found, wanted = log_product(odds), log_product(exact)
    for some, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(some.double(), other, rtol=1e-6, atol=1e-7)
    sum(part.sum() for part in found).backward()  # type: ignore[union-attr]
    assert all(each.grad is not None and each.grad.isfinite().all() for each in odds)
    if size < 700:
        product = exact[0].sigmoid() * exact[1].sigmoid()
        torch.testing.assert_close(wanted[0].exp(), product)


def test_the_loss_is_of_float32_under_autocast() -> None:
    model = model_of({"buy": ESMM("click")}, funnel("buy")).float()
    batch = batch_of(random_labels(["click", "buy"]))
    batch = batch._replace(inputs={"features": batch.inputs["features"].float()})
    with torch.autocast("cpu", torch.bfloat16):
        found = model.losses([batch]).losses["buy"]
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, model.losses([batch]).losses["buy"], rtol=0.05, atol=0.02)


# -- a head that reads earlier outputs -------------------------------------------------------------------------------
@pytest.mark.parametrize("detach", [False, True], ids=["through", "detached"])
def test_a_head_reads_earlier_outputs_beside_its_features(detach: bool) -> None:
    tasks = {"click": binary(), "price": number(3.0, 2.0), "buy": binary()}
    model = model_of({"buy": ClassifierChain(["click", "price"], detach=detach)}, tasks)
    hidden = model.encoder(INPUTS).pooled
    head = model.tasks["buy"].head
    assert head is not None and head.weight.shape == (2, WIDTH + 3)
    earlier = [alone(model, "click", INPUTS).softmax(-1), alone(model, "price", INPUTS)]
    torch.testing.assert_close(model(INPUTS)["buy"], head(torch.cat([hidden, *earlier], -1)))
    loss = model.losses([batch_of(random_labels(["buy"]))]).losses["buy"]
    assert reached(model, loss) == {"buy", "encoder"} | (set() if detach else {"click", "price"})


def test_a_head_of_positions_and_one_of_examples_read_each_other() -> None:
    tasks = {"intent": binary(), "slots": TokenClassification(labels=["O", "B-x"]), "tone": binary(), "any": binary()}
    links: dict[str, Link] = {"slots": ClassifierChain("intent"), "tone": ClassifierChain("slots")}
    for name, link in links.items():
        link.build(name, tasks)
    features = {"pooled": torch.randn(2, 4), "tokens": torch.randn(2, 3, 4)}
    mask = torch.tensor([[True, True, False], [True, True, True]])
    made = type("Made", (), {**features, "mask": mask, "given": None})()
    intent, slots = torch.randn(2, 2), torch.randn(2, 3, 2)
    wide = links["slots"].read(made, {"intent": intent}).tokens
    assert wide is not None
    torch.testing.assert_close(wide[:, 2], torch.cat([features["tokens"][:, 2], intent.softmax(-1)], -1))
    wide = links["tone"].read(made, {"slots": slots}).pooled
    assert wide is not None
    torch.testing.assert_close(wide[0, 4:], slots.softmax(-1)[0, :2].mean(0))
    torch.testing.assert_close(wide[1, 4:], slots.softmax(-1)[1].mean(0))


# -- AITM's calibrator -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("detach", [False, True], ids=["both", "detached"])
def test_the_calibrator_and_its_gradient_in_closed_form(detach: bool) -> None:
    link = Calibrator("click", coefficient=0.7, detach=detach)
    tasks = funnel("buy")
    link.build("buy", tasks)
    click, buy = torch.randn(2, 8, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).unbind()
    click, buy = click.requires_grad_(), buy.requires_grad_()
    (term,) = link.terms(buy, {"click": click.detach() if detach else click}).values()
    p, q = positive(click).detach(), positive(buy).detach()
    torch.testing.assert_close(term, 0.7 * (q - p).clamp(min=0).mean())
    term.backward()  # type: ignore[no-untyped-call]
    over = 0.7 * (q > p) / len(p)
    assert 0 < (over > 0).sum() < len(p)
    assert buy.grad is not None
    torch.testing.assert_close(buy.grad[:, 1], over * q * (1 - q))
    if detach:
        assert click.grad is None
    else:
        assert click.grad is not None
        torch.testing.assert_close(click.grad[:, 1], -over * p * (1 - p))


def test_the_calibrator_leaves_the_outputs_alone_and_needs_no_labels() -> None:
    model, plain = (model_of(chain, funnel("buy")) for chain in ({"buy": Calibrator("click")}, {}))
    for task, logits in model(INPUTS).items():
        assert torch.equal(logits, plain(INPUTS)[task])
    labels = random_labels(["click", "buy"])
    for present in (["click", "buy"], ["buy"], ["click"], []):
        targets = {task: labels[task] for task in present} or {"click": torch.full((12,), -100)}
        terms = model.losses([batch_of(targets)]).terms
        assert list(terms) == ["calibrator/buy"]
        assert reached(model, terms["calibrator/buy"]) == {"click", "buy", "encoder"}
    assert not model.eval().losses([batch_of(labels)]).terms


# -- joint outputs ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("fusion", "value"),
    [
        (Product(["a", "b", "c"]), lambda a, b, c: a * b * c),
        (Mean(["a", "b"]), lambda a, b, c: (a + b) / 2),
        (Mean(["a", "b"], weights={"a": 3, "b": 1}), lambda a, b, c: 0.75 * a + 0.25 * b),
        (Formula("a * b / (a + 1) - -c ** 2 * 0.1"), lambda a, b, c: a * b / (a + 1) + c**2 * 0.1),
        (Formula("sqrt(exp(log(a)))"), lambda a, b, c: a.sqrt()),
        (Formula("exp(-1) * a ** 2 + log(2) * b"), lambda a, b, c: a**2 / math.e + math.log(2) * b),
    ],
    ids=["product", "mean", "weighted", "formula", "functions", "functions-of-numbers"],
)
def test_a_joint_output_is_its_formula(fusion: Link, value: Any) -> None:
    model = model_of({"both": fusion}, {"both": binary(), "a": binary(positive="no"), "b": binary(), "c": binary()})
    if isinstance(fusion, Mean):  # of labels, so that the same one must be positive
        model = model_of({"both": fusion}, {task: binary() for task in ("both", "a", "b", "c")})
    parts = [positive(alone(model, t, INPUTS), int(t != "a" or isinstance(fusion, Mean))) for t in ("a", "b", "c")]
    found = model(INPUTS)
    torch.testing.assert_close(positive(found["both"]), value(*parts))
    assert torch.equal(model(INPUTS, ["both"])["both"], found["both"])
    assert not list(model.tasks["both"].parameters())


def test_joint_outputs_of_numbers_are_in_their_own_unit() -> None:
    tasks: dict[str, Task] = {"x": number(100.0, 2.0), "y": number(-3.0, 0.5)}
    tasks |= {"mean": number(10.0, 4.0), "total": number(1.0, 7.0), "cheap": binary()}
    chain: Mapping[str, Link] = {
        "mean": Mean(["x", "y"], weights={"x": 1, "y": 3}),
        "total": Formula("2 * x + y"),
        "cheap": Formula("(x - 90) / 20"),
    }
    found = model_of(chain, tasks)(INPUTS)
    x, y = found["x"][:, 0] * 2 + 100, found["y"][:, 0] * 0.5 - 3
    torch.testing.assert_close(found["mean"][:, 0] * 4 + 10, x / 4 + y * 3 / 4)
    torch.testing.assert_close(found["total"][:, 0] * 7 + 1, 2 * x + y)
    torch.testing.assert_close(positive(found["cheap"]), (x - 90) / 20)


def test_a_probability_is_cut_off_at_zero_and_one() -> None:
    model = model_of({"both": Formula("3 * a")}, {"a": binary(), "both": binary()})
    found = model(INPUTS)
    torch.testing.assert_close(positive(found["both"]), (3 * positive(found["a"])).clamp(max=1))
    assert found["both"].isfinite().all()


def test_a_joint_output_trains_its_tasks_only_if_it_is_told_to() -> None:
    labels = random_labels(["a", "b", "both"])
    for trained in (False, True):
        model = model_of({"both": Product(["a", "b"], trained)}, {"a": binary(), "b": binary(), "both": binary()})
        found = model.losses([batch_of(labels)])
        assert list(model.weighting.tasks) == list(found.losses) == list(found.shares) == model.trained_tasks
        assert ("both" in found.losses) == trained
        assert model.sharing.tasks == ("a", "b")
        if trained:
            assert reached(model, found.losses["both"]) == {"a", "b", "encoder"}


# -- what does not fit -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("chain", "message"),
    [
        ({"buy": ESMM("clik")}, "model.chain.buy: unknown task 'clik'; did you mean 'click'"),
        ({"by": ESMM("click")}, "model.chain: unknown task 'by'; did you mean 'buy'"),
        ({"buy": ESMM("cart"), "cart": ESMM("buy")}, "model.chain.*: tasks read each other in a circle, "),
        ({"buy": ESMM("buy")}, "model.chain.buy: tasks read each other in a circle, buy after buy; leave"),
        ({"buy": ClassifierChain([])}, "model.chain.buy: expected names of other tasks, each once, found"),
        ({"buy": Product(["cart", "cart"])}, "model.chain.buy: expected names of other tasks, each once, found"),
        ({"buy": ESMM("price")}, r"model.chain.buy: needs two-label tasks \(.*\), but 'price' is a Regression"),
        ({"price": Calibrator("buy")}, "model.chain.price: needs two-label tasks"),
        ({"buy": ESMM("stars")}, "model.chain.buy: needs two-label tasks, but 'stars' has 3 labels"),
        ({"buy": Mean(["price"])}, "model.chain.buy: needs tasks of one class, but 'buy' is a Seq.*'price' a Regr"),
        ({"buy": Mean(["stars"])}, "model.chain.buy: needs tasks with the same labels; those of 'stars' are not"),
        ({"tags": Mean(["buy"])}, "model.chain.tags: takes the mean of classifications or regressions, but 'tags'"),
        (
            {"words": Mean(["path"])},
            "model.chain.words: needs probabilities of single words; 'path' has `decoding: crf`",
        ),
        ({"buy": Formula("stars * 2")}, "model.chain.buy: needs two-label tasks, but 'stars' has 3 labels"),
        ({"buy": Formula("clock * 2")}, "model.chain.buy: unknown task 'clock'; did you mean 'click'"),
        ({"buy": ClassifierChain("own")}, "model.chain.buy: reads classifications and regressions, but 'own' is a Own"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(chain: dict[str, Link], message: str) -> None:
    tasks: dict[str, Task] = {**funnel("cart", "buy"), "price": number()}
    tasks |= {"stars": SequenceClassification(["1", "2", "3"]), "tags": MultiLabelClassification(["a", "b"])}
    tasks["words"] = TokenClassification(labels=["a", "b"])
    tasks["path"] = TokenClassification(labels=["a", "b"], decoding="crf")
    stubs = {name: lambda *_: {"loss": None} for name in {*Task.__abstractmethods__, "decode"}}
    tasks["own"] = type("Own", (Task,), {**stubs, "num_outputs": 1})("loss")
    with pytest.raises(UserError, match=message) as raised:
        model_of(chain, tasks)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Calibrator("a", coefficient=-1), "`coefficient` must be a number of at least 0, found -1"),
        (lambda: Mean(["a", "b"], {"a": 1}), "`weights` misses b"),
        (lambda: Mean(["a"], {"a": 0}), "`weights.a` must be positive, found 0"),
        (lambda: Mean(["a", "b"], {"a": 1, "c": 1}), "`weights`: 'c' is not in `of`"),
        (lambda: Formula("a *"), "`formula` cannot be read: 'a \\*'"),
        (lambda: Formula("1 + 2"), "`formula` must name tasks"),
        (lambda: Formula("a.real"), "`formula` may hold .* found 'a.real'"),
        (lambda: Formula("__import__('os')"), "`formula` may hold"),
        (lambda: Formula("a @ b"), "`formula` may hold"),
        (lambda: Formula("a if b else c"), "`formula` may hold"),
        (lambda: Formula("log(a, 2)"), "`formula` may hold"),
        (lambda: Formula("log + a"), "`formula` may hold .* found 'log'"),
        (lambda: Formula("'a' * b"), "`formula` may hold"),
        (lambda: Formula("a * 9 ** 9 ** 9 ** 9"), r"`formula`: '9 (\*\* 9 ?){3}' is no finite number"),
        (lambda: Formula("a + 1 / 0"), "`formula`: '1 / 0' is no finite number"),
        (lambda: Formula("a + sqrt(-1)"), r"`formula`: 'sqrt\(-1\)' is no finite number"),
        (lambda: Formula("a * " + "9" * 400), "is no finite number"),
    ],
)
def test_bad_options_are_refused(make: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        make()
