"""Learned branching: a tree of stages whose branches are found in training."""

from collections.abc import Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn

from mtl_lightning.errors import UserError
from mtl_lightning.sharing.arguments import above_zero, at_least
from mtl_lightning.sharing.base import Sharing
from mtl_lightning.sharing.branch_choice import BranchChoice
from mtl_lightning.sharing.branched_stages import BranchedStages
from mtl_lightning.sharing.branches import Pair
from mtl_lightning.sharing.contracts import Compilable, Encoder, Inputs, Representation, State
from mtl_lightning.sharing.observing import ExpertUse, Observations, Part
from mtl_lightning.sharing.stages import stages_before, through, with_stages
from mtl_lightning.sharing.tree import Groups, Tree, saved_tree


class LearnedBranching(Sharing):
    r"""Each stage has several branches; which one each of them follows, and which one a task reads, is learned.

    Branch j of a stage reads :math:`\sum_i d_{ij} y_i` of the branches i of the stage before, with :math:`d_j` one-hot.
    In training it is drawn for each example by the chances :math:`\mathrm{softmax}(\theta_j / \tau_n)` of logits
    :math:`\theta_j`, and has their gradient. The temperature falls as :math:`\tau_n = \tau / \sqrt{n}` over n batches:
    chances are nearly even at first and nearly sure in the end. In evaluation the likeliest is taken: the model is a
    tree, the same in every pass, and what no task's path uses is not computed.

    Cost: in training M times the parameters and FLOPs of the stages that branch; in evaluation those of the tree, from
    hard sharing to separate encoders.

    Reference: Guo, Lee and Ulbricht, "Learning to Branch for Multi-Task Learning" (ICML 2020), section 3. Difference:
    the paper mixes branches by Gumbel-softmax, :math:`\mathrm{softmax}((\theta_j + g) / \tau_n)`, where the temperature
    says how far a draw is from one-hot. Here draws are one-hot throughout, so that an example's way is that through a
    tree, and the temperature says how sure they are: early differences, which are small, decide less. The gradient is
    that of the chances, without the draw's noise (straight through), averaged over the draws of a batch's examples. The
    embeddings, and whatever else precedes the first stage, are shared. The tree is trained on as it is; :meth:`prune`
    makes it one for good.

    Helps: where tasks fall into groups that nobody knows, one branch cannot serve two of them, and the model must be
    small when it is used. Fails: what was chosen is trained most, so that an early choice is seldom taken back; two
    trees of thirty did not have the groups of ``experiments/sharing``. Where one branch is large enough for all tasks,
    they may end up in one, though groups would be better. Trees of several stages differ between seeds. The learning
    rate and the length of training must let the logits move: where all chances stay even, the tree is hard sharing.

    Args:
        tasks: Names of the K tasks.
        encoder: The model's; it must be cut into stages. Its own stages are the first branches.
        num_branches: M, the branches of each stage; null: K.
        shared_stages: How many stages, from the first, have one branch only; a negative number says how many have
            several: -2 for the last 2.
        temperature: Of the first chances, above 0: high ones put off the choice.
        min_temperature: Where it stays.
        warmup: How many batches train the branches on even draws, before the choices are learned. Heads learn to read
            all branches meanwhile, which become alike by it.
        lr_factor: Learning rate of the logits, relative to that of the heads. With Adam a logit moves by about the
            learning rate in each step, and must move by more than the last temperature for a choice to be sure. High
            ones choose early, by little.
        redraw: Whether the copies start from other weights of the same distribution than the encoder's; null: if those
            are random. Copies of a trained encoder start as it is, and part by what they are drawn for.

    Raises:
        UserError: If an option is out of its range, or the encoder's stages share parameters.
    """

    def __init__(
        self,
        tasks: Sequence[str],
        encoder: Encoder,
        num_branches: int | None = None,
        shared_stages: int = 0,
        temperature: float = 10.0,
        min_temperature: float = 0.1,
        warmup: int = 0,
        lr_factor: float = 2.0,
        redraw: bool | None = None,
    ) -> None:
        super().__init__(tasks, encoder)
        number = len(tasks) if num_branches is None else num_branches
        at_least(1, "num_branches", number)
        at_least(0, "warmup", warmup)
        above_zero("temperature", temperature)
        above_zero("min_temperature", min_temperature)
        above_zero("lr_factor", lr_factor)
        self._start = stages_before("shared_stages", shared_stages, encoder)
        stages = encoder.stages[self._start :]
        _check_stages(encoder, stages)
        self.branches = BranchedStages(stages, number, not encoder.pretrained if redraw is None else redraw)
        options = (temperature, min_temperature, warmup)
        self.choice: BranchChoice | None = BranchChoice(tasks, len(stages), number, *options)
        self.lr_factor = lr_factor
        self._tree: Tree | None = None

    # -- the tree ----------------------------------------------------------------------------------------------------
    def groups(self) -> Groups:
        """For each stage of the encoder, the groups of tasks that share a branch of it in evaluation."""
        return [[self.tasks]] * self._start + self._decided().groups()

    def pruned_parts(self) -> Sequence[Part]:
        """The parameters that evaluation uses, by the tasks that do."""
        stages = {id(parameter) for stage in self.branches.stages for parameter in stage.parameters()}
        common = [parameter for parameter in self.encoder.parameters() if id(parameter) not in stages]
        found = [Part("encoder", common, self.tasks)]
        tree = self._decided()
        for i, (branches, groups) in enumerate(zip(tree.used(self.tasks), tree.groups(), strict=True)):
            for branch, group in zip(branches, groups, strict=True):
                name = f"stage {self._start + i + 1} of {' + '.join(group)}"
                found.append(Part(name, list(self.branches.of(i)[branch].parameters()), group))
        return [part for part in found if part.parameters]

    def prune(self) -> None:
        """Keeps the tree for good: what no task uses is gone, and training goes on with the rest.

        Call it between two runs: an optimizer knows nothing of it. A checkpoint of a pruned model can be loaded into
        one that is not, which is pruned by that.
        """
        tree = self._decided()
        self.branches.keep(tree.used(self.tasks))
        self._fix(tree.pruned())

    def merge(self, task: str) -> Encoder:
        """A plain encoder, a copy, that computes what a task's head reads in evaluation: the branches of its path.

        Args:
            task: Its name.

        Raises:
            UserError: If there is no such task.
        """
        self._refuse_unknown(task)
        path = self._decided().path(task)
        return with_stages(self.encoder, self._start, [self.branches.of(i)[branch] for i, branch in enumerate(path)])

    def _fix(self, tree: Tree) -> None:
        self._tree, self.choice = tree, None

    def _decided(self) -> Tree:
        """The tree as it is now."""
        if self.choice is None:
            assert self._tree is not None
            return self._tree
        return self.choice.tree()

    # -- state -------------------------------------------------------------------------------------------------------
    def get_extra_state(self) -> dict[str, Any]:
        """The tree, once it is pruned."""
        tree = self._tree if self.choice is None else None
        return {} if tree is None else {"parents": [list(each) for each in tree.parents], "leaves": dict(tree.leaves)}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Restores the tree."""
        self.take_form(state)

    def take_form(self, saved: Any) -> None:
        """Prunes to the tree of a checkpoint, if it has one.

        Raises:
            UserError: If this model is pruned and the checkpoint is not, or its tree is none of this model.
        """
        if saved == {}:
            if self.choice is None:
                raise UserError("model.sharing: this LearnedBranching is pruned, and the checkpoint's is not")
            self._tree = None
            return
        tree = saved_tree(saved, self.tasks, self.branches.sizes)
        self.branches.keep([range(len(used)) for used in tree.used(self.tasks)])
        self._fix(tree)

    def train(self, mode: bool = True) -> Self:
        """Decides anew in the next evaluation."""
        if self.choice is not None:
            self._tree = None
        return super().train(mode)

    # -- forward -----------------------------------------------------------------------------------------------------
    def encode(self, inputs: Inputs) -> Any:
        """In training the last states of all branches; otherwise what the shared stages make of the inputs."""
        state = through(self.encoder.stages[: self._start], self.encoder.begin(inputs))
        if self.choice is None or not self.training:
            return state
        self.choice.count()
        states = [branch(state) for branch in self.branches.of(0)]
        for i in range(1, len(self.branches)):
            read = _mixed(self.choice.parents(i - 1, len(state.hidden)), _stacked(states))
            states = [branch(each) for branch, each in zip(self.branches.of(i), read, strict=True)]
        return states

    def share(self, encoded: Any, tasks: Sequence[str]) -> dict[str, Representation]:
        if not tasks:
            return {}
        if self.choice is None or not self.training:
            return self._along_the_tree(encoded, tasks)
        stacked = _stacked(encoded)
        number = len(stacked.hidden)
        return {task: self.encoder.end(_mixed(self.choice.leaf(task, number), stacked)[0]) for task in tasks}

    def _along_the_tree(self, state: State, tasks: Sequence[str]) -> dict[str, Representation]:
        if self._tree is None:
            self._tree = self._decided()
        tree, states = self._tree, {0: state}
        for i, used in enumerate(tree.used(tasks)):
            parents = tree.parents[i - 1] if i else [0] * len(self.branches.of(0))
            states = {branch: self.branches.of(i)[branch](states[parents[branch]]) for branch in used}
        ends = {branch: self.encoder.end(state) for branch, state in states.items()}
        return {task: ends[tree.leaves[task]] for task in tasks}

    # -- what it is made of ------------------------------------------------------------------------------------------
    def own_parameters(self, task: str) -> list[nn.Parameter]:
        if self.choice is not None:
            return [self.choice.logits(task)]
        return [p for part in self.pruned_parts()[1:] if tuple(part.tasks) == (task,) for p in part.parameters]

    def observe(self) -> Observations:
        """How likely each task goes through each branch of a stage, now; nothing once it is pruned."""
        if self.choice is None:
            return Observations()
        chances = {task: self.choice.chances(task) for task in self.tasks}
        names = [f"branch_{number}" for number in range(len(self.branches.of(0)))]
        stages = [
            ExpertUse(dict.fromkeys(names, self.tasks), f"stage_{self._start + i + 1}", balanced=False)
            for i in range(len(self.branches))
        ]
        for i, stage in enumerate(stages):
            for task, of_stages in chances.items():
                stage.note(task, of_stages[i])
        return Observations(stages)

    def parts(self) -> Sequence[Part]:
        return super().parts() if self.choice is not None else self.pruned_parts()

    def copies(self) -> Sequence[Pair]:
        return self.branches.copies()

    def lr_factors(self) -> dict[str, tuple[float, list[nn.Parameter]]]:
        return {} if self.choice is None else {"choices": (self.lr_factor, list(self.choice.parameters()))}

    def compiled_parts(self) -> Sequence[Compilable]:
        return [*self.encoder.stages, *(copy for copy, _ in self.copies())]


def _stacked(states: Sequence[State]) -> State:
    """One state whose ``hidden`` is that of all [B, M, ...]."""
    return states[0]._replace(hidden=torch.stack([state.hidden for state in states], 1))


def _mixed(weights: Tensor, stacked: State) -> list[State]:
    """N states, of which each takes for each example what its weights [B, N, M] say."""
    hidden = stacked.hidden
    with torch.autocast(hidden.device.type, enabled=False):  # rows are one-hot: nothing is rounded
        mixed = torch.bmm(weights.to(hidden.dtype), hidden.flatten(2))
    return [stacked._replace(hidden=each.reshape(hidden[:, 0].shape)) for each in mixed.unbind(1)]


def _check_stages(encoder: Encoder, branching: Sequence[nn.Module]) -> None:
    if not branching:
        raise UserError(
            f"model.sharing: `shared_stages` is {len(encoder.stages)}, all of them; leave at least one that branches"
        )
    parameters = [parameter for stage in encoder.stages for parameter in stage.parameters()]
    if len(set(parameters)) < len(parameters):
        raise UserError(
            f"model.sharing: {type(encoder).__name__} has the same parameters in several stages, which cannot branch "
            "one by one; choose a sharing that copies the last stages together, such as HybridSharing"
        )
