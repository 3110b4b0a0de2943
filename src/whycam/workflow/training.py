"""From a folder of images to a run."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from whycam import run_folder
from whycam.admission import check_apart, check_several, levels_of_training, readable
from whycam.atomic import write_text
from whycam.budget.durations import parse_duration
from whycam.data.samples import check_classes, open_dataset
from whycam.data.split import check_split_options, split_samples
from whycam.errors import OptionError, one_of
from whycam.explain.methods import method_named
from whycam.fitting.line import Line
from whycam.networks.device import check_device, pick_device
from whycam.progress import SILENT, Progress
from whycam.report.audit_words import to_json
from whycam.training.recipe import DEFAULT, ClassicRecipe, choose_recipe
from whycam.types import AS_USUAL, Dataset, Reading

if TYPE_CHECKING:
    from whycam.workflow.runs import Run

SPLITS = ("given", "safe")


def train(
    data: str | Path | Dataset,
    *,
    out: str | Path,
    reading: Reading = AS_USUAL,
    recipe: str | None = None,
    budget: str | None = None,
    epochs: int | None = None,
    seed: int = 0,
    test_share: float = 0.25,
    split: str = "given",
    symmetry: str = "auto",
    backbone: str | None = None,
    threshold: str = "midpoint",
    unsure: str | None = None,
    method: str = "grad-cam",
    device: str = "auto",
    strict: bool = False,
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress = SILENT,
) -> Run:
    """Train on labelled images and write a run folder: the model, its evaluation and a report.

    Args:
        data: a folder, a CSV file (both as described in the documentation), or samples already found.
        out: the run folder; new or empty unless `resume` or `overwrite`.
        reading: what names and columns mean where they are not the usual ones.
        recipe: name of the training configuration: `default` where there is none, or what the budget allows.
        budget: a time such as `90s`, `20m` or `1h`: chooses what fits into it on this machine, as measured, from the
            call to the end of the report. What else is given stays as it is. Not with `resume`.
        epochs: instead of the recipe's number.
        seed: decides the split, the first weights and the order of images; the same seed gives the same weights.
        test_share: of the images, where the data bring no split of their own; above 0 and below 1.
        split: `given` keeps a split that the data bring; `safe` draws one by itself, in which groups and copies stay
            whole, whatever the data bring.
        symmetry: which views of an image show the same thing: `none`, `flip` (its mirror image), `all` (turned and
            mirrored), or `auto` to find out on held-out training images. Not for `classic`.
        backbone: `efficientnet-lite0`, or `timm:NAME` (needs the extra `timm`), instead of the recipe's.
        threshold: the rule for the score at or above which an image is called anomalous: `midpoint`, `f1`, `youden`,
            `recall>=0.99`, `false-alarms<=0.02`, `cost miss=500 alarm=3 rate=0.01` or a number. Chosen on training
            images scored by models that had not seen them; `classic` keeps a fifth of them out of the training for it.
        unsure: two promises, such as `recall>=0.99 false-alarms<=0.01`: scores between the thresholds that keep them
            get the verdict `unsure`. One number, such as `0.02`, for both kinds of mistake.
        method: what makes the heatmaps, a name of `whycam.explain.methods.METHODS`.
        device: `auto`, `cpu` or `cuda`.
        strict: raise where any file had to be skipped.
        resume: go on after the last finished epoch in `out`; the result equals that of a training never stopped.
        overwrite: replace an earlier run in `out`.

    Raises:
        DataError, OptionError, RunError: the text says what is wrong and what to do.
        GateError: the training images are too few for what `threshold` or `unsure` promises; nothing is written.
        KeyboardInterrupt: Ctrl-C before the first epoch was finished; later, the run is finished with what is there.
    """
    began = time.monotonic()
    chosen = choose_recipe(recipe or DEFAULT.name, epochs=epochs, symmetry=symmetry, backbone=backbone)
    line = Line.parse(threshold, unsure)
    # A budget chooses among recipes whose scores are probabilities.
    line.check_score("linear" if isinstance(chosen, ClassicRecipe) else "probability")
    how_shown = method_named(method)
    seconds = None if budget is None else parse_duration(budget)
    if seconds is not None and resume:
        raise OptionError("`budget` must be left out with `resume`: how fast the machine is may have changed.")
    check_split_options(test_share, seed=seed)
    if split not in SPLITS:
        raise OptionError(one_of("split", SPLITS, split))
    check_device(device)
    folder = Path(out)
    run_folder.check_writable(folder, resume=resume, overwrite=overwrite)
    found = data if isinstance(data, Dataset) else open_dataset(data, reading)
    check_classes(found, chosen.fewest)
    check_apart(folder, found)
    # These import torch, scikit-learn and matplotlib, which takes seconds: most mistakes have been told by now, and the
    # budget pays for it.
    from whycam.audit_cache import audit_once
    from whycam.auditing import features_of, pictured
    from whycam.budget.choice import within
    from whycam.bundle import describe_data, make_card, save_bundle
    from whycam.detector import Detector
    from whycam.fitting.fit import fit
    from whycam.fitting.novelty import learn_novelty
    from whycam.fitting.plan import plan, to_hold_out
    from whycam.judging import judge, show_by
    from whycam.workflow.runs import Run

    pick_device(device)

    told: tuple[str, ...] = ()
    deadline = None
    if seconds is not None:
        choice = within(
            seconds,
            found,
            recipe,
            epochs=epochs,
            symmetry=symmetry,
            backbone=backbone,
            method=how_shown,
            test_share=test_share,
            device=device,
            began=began,
        )
        chosen, told = choice.recipe, choice.sentences
        deadline = began + seconds - choice.after
        for sentence in told:
            progress.say(sentence)
    chosen = line.with_scores(chosen)
    dataset, pixels = readable(found, chosen.size_hw, strict=strict, progress=progress)
    check_classes(dataset, chosen.fewest)
    check_several(dataset, pixels)
    if split == "safe":
        dataset = dataset.without_split("--split safe was asked for")
    found_wrong = audit_once(dataset, pixels, features_of(chosen), seed=seed, device=device, progress=progress)
    dataset = found_wrong.kept_together(dataset)
    dataset, how = split_samples(dataset, test_share, seed=seed, fewest=chosen.fewest)
    dataset, pixels = levels_of_training(dataset, pixels, progress=progress)
    planned, checkpoint = plan(folder, dataset, pixels, chosen, seed=seed, device=device, resume=resume)
    line.check(to_hold_out(dataset, pixels, chosen, seed=seed), pixels)
    with run_folder.held(folder):
        run_folder.check_writable(folder, resume=resume, overwrite=overwrite)
        run_folder.start(folder, overwrite=overwrite)
        run_folder.write_samples(folder, dataset, pixels.digests)
        fitted = fit(
            folder,
            dataset,
            pixels,
            chosen,
            planned=planned,
            checkpoint=checkpoint,
            progress=progress,
            deadline=deadline,
        )
        described = describe_data(dataset, fingerprint=planned.fingerprint, split=how)
        training = replace(fitted.card, choices=told + fitted.card.choices)
        if fitted.held_out is not None:
            run_folder.write_held_out(folder, fitted.held_out)
        chosen_threshold = line.choose(fitted.held_out)
        card = make_card(fitted.network, training, described, threshold=chosen_threshold, pixels=pixels)
        detector = Detector(fitted.network, card, device=device, run=folder)
        scores = detector.score_cached(pixels, pixels.rows(dataset.samples), progress=progress)
        strange = learn_novelty(fitted.network, dataset, pixels, seed=seed, device=planned.device, progress=progress)
        if strange is not None:
            detector.novelty, noted = strange
            detector.card = replace(detector.card, novelty=noted)
        show_by(detector, how_shown, dataset, pixels, scores, progress=progress)
        audited = pictured(found_wrong.audit, dataset, pixels)
        write_text(folder / run_folder.AUDIT, to_json(replace(found_wrong.audit, data=described.facts)))
        evaluation = judge(
            folder,
            detector,
            dataset,
            pixels,
            scores,
            evaluated=None,
            history=fitted.history,
            audited=audited,
            progress=progress,
        )
        save_bundle(folder, fitted.network, detector.card, detector.novelty)
    return Run(folder, described, evaluation, detector, found_wrong.audit)
