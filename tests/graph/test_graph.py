"""The passes of the graph room, against the recorded states of the original and worked examples."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from caffelite.errors import GraphError, LayerError
from caffelite.graph import blob_behind, flow_everywhere, reshaped
from caffelite.proto import TEST, TRAIN

from ..nets import graph_of

FILTER = Path(__file__).parents[1] / "golden" / "filter"
INPUT = 'layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }\n'
LABELS = (
    'layer { name: "in" type: "Input" top: "x" top: "label"'
    " input_param { shape { dim: 2 dim: 3 } shape { dim: 2 } } }\n"
)


def ip(name, bottom, top, num_output=4, more=""):
    """An InnerProduct layer as text."""
    return (
        f'layer {{ name: "{name}" type: "InnerProduct" bottom: "{bottom}" top: "{top}" '
        f"inner_product_param {{ num_output: {num_output} }} {more} }}\n"
    )


def states():
    for path in sorted(FILTER.glob("*.json")):
        for state in json.loads(path.read_text()):
            name = f"{path.stem}-{state['phase']}-{state.get('level', 0)}-{','.join(state.get('stages') or [])}"
            yield pytest.param(path.with_suffix(".prototxt"), state, id=name)


@pytest.mark.parametrize("path, state", list(states()))
def test_a_recorded_state_gives_the_recorded_layers_blobs_outputs_and_shapes(path, state):
    phase = TRAIN if state["phase"] == "TRAIN" else TEST

    def make():
        return graph_of(path.read_text(), phase, state.get("level", 0), state.get("stages") or [])

    if not state["ok"]:
        with pytest.raises(GraphError):
            make()
        return
    graph, recorded = make(), state["result"]
    assert [node.name for node in graph.nodes] == recorded["layers"]
    assert list(graph.blobs) == recorded["blobs"]
    assert list(graph.outputs) == recorded["outputs"]
    assert {blob: list(graph.shape(blob)) for blob in graph.blobs} == recorded["shapes"]


def needs(graph):
    return {node.name: (node.needs_backward, node.bottom_needs) for node in graph.nodes}


def test_gradients_reach_the_first_layer_with_weights_and_not_the_data():
    flow = needs(graph_of(LABELS + ip("a", "x", "h") + ip("b", "h", "y") + LOSS))
    assert flow["b"] == (True, (True,))
    assert flow["a"] == (True, (False,))
    assert flow["in"] == (False, ())
    assert flow["loss"] == (True, (True, False))


LOSS = 'layer { name: "loss" type: "SoftmaxWithLoss" bottom: "y" bottom: "label" top: "loss" }\n'


def test_force_backward_reaches_the_data_but_never_a_label():
    flow = needs(graph_of("force_backward: true\n" + LABELS + ip("b", "x", "y") + LOSS))
    assert flow["b"] == (True, (True,))
    assert flow["loss"] == (True, (True, False))


def test_a_frozen_layer_at_the_bottom_needs_no_backward():
    text = LABELS + ip("a", "x", "h", more="param { lr_mult: 0 } param { lr_mult: 0 }") + ip("b", "h", "y") + LOSS
    graph = graph_of(text)
    assert needs(graph)["a"] == (False, (False,))
    assert [weight.wanted for weight in graph.weights] == [False, False, True, True]


def test_propagate_down_false_ends_the_gradient():
    text = LABELS + ip("a", "x", "h") + ip("b", "h", "y", more="propagate_down: false") + LOSS
    assert needs(graph_of(text))["b"] == (True, (False,))
    assert needs(graph_of(text))["a"] == (False, (False,))


def test_a_branch_without_a_loss_gets_no_gradient():
    text = LABELS + ip("a", "x", "y") + LOSS + ip("side", "y", "s")
    assert needs(graph_of(text))["side"] == (False, (False,))


def test_as_part_of_a_program_gradients_reach_everything_but_labels_and_what_propagate_down_keeps_them_from():
    stopped = ip("b", "h", "y", more="propagate_down: false")
    graph = graph_of(LABELS + ip("a", "x", "h", more="param { lr_mult: 0 }") + stopped + ip("side", "h", "s") + LOSS)
    flow = needs(flow_everywhere(graph))
    assert all(needed for needed, _ in flow.values())
    assert [flow[name][1] for name in ("a", "b", "side", "loss")] == [(True,), (False,), (True,), (True, False)]


RESHAPE = 'layer { name: "r" type: "Reshape" bottom: "x" top: "r" reshape_param { shape { dim: 0 dim: -1 } } }\n'


def test_shapes_follow_from_those_of_the_inputs():
    graph = graph_of(INPUT + RESHAPE + ip("a", "r", "y"))
    other = reshaped(graph, {graph.blobs["x"]: (7, 3, 1)})
    assert [other.shape(blob) for blob in ("x", "r", "y")] == [(7, 3, 1), (7, 3), (7, 4)]
    assert graph.shape("y") == (2, 4)


def test_layers_that_refuse_new_shapes_keep_the_old_ones():
    graph = graph_of(INPUT + RESHAPE + ip("a", "r", "y"))
    with pytest.raises(LayerError, match="the weights are for 3 inputs"):
        reshaped(graph, {graph.blobs["x"]: (7, 5)})
    assert graph.nodes[1].layer.top == (2, 3)


def test_the_top_of_an_inserted_split_is_called_as_in_the_prototxt():
    split = 'layer { name: "split" type: "Split" bottom: "y" top: "split_0" top: "z" }\n'
    graph = graph_of(INPUT + ip("a", "x", "y", more="loss_weight: 1") + split)
    inserted, written = (node for node in graph.nodes if node.type == "Split")
    assert [blob_behind(inserted, top) for top in inserted.tops] == ["y", "y"]
    assert [blob_behind(written, top) for top in written.tops] == ["split_0", "z"]
    assert blob_behind(graph.nodes[1], "y") == "y"


def test_shared_weights_have_one_owner_and_its_multipliers():
    one = 'param { name: "w" lr_mult: 3 } param { name: "b" decay_mult: 0 }'
    two = 'param { name: "w" } param { name: "b" lr_mult: 2 }'
    graph = graph_of(INPUT + ip("a", "x", "p", more=one) + ip("b", "x", "q", more=two))
    assert graph.owners() == [0, 1]
    assert [weight.owner for weight in graph.weights] == [0, 1, 0, 1]
    assert [weight.lr_mult for weight in graph.weights] == [3, 2, 3, 2]
    assert [weight.decay_mult for weight in graph.weights] == [1, 0, 1, 0]


def test_a_loss_without_a_top_gets_one_that_is_no_output():
    automatic = 'layer { name: "l" type: "SoftmaxWithLoss" bottom: "y" bottom: "label" }\n'
    graph = graph_of(LABELS + ip("a", "x", "y") + automatic + automatic.replace('"l"', '"m"'))
    assert list(graph.blobs)[-2:] == ["(automatic)", "(automatic 2)"]
    assert graph.outputs == ()
    assert [node.loss_weights for node in graph.nodes[-2:]] == [(1,), (1,)]


def test_force_backward_does_not_ask_for_the_gradient_of_a_label_made_by_frozen_layers():
    frozen = "param { lr_mult: 0 } param { lr_mult: 0 }"
    text = "force_backward: true\n" + LABELS + ip("a", "x", "y") + ip("b", "x", "target", 1, frozen)
    loss = 'layer { name: "loss" type: "SoftmaxWithLoss" bottom: "y" bottom: "target" }'
    assert needs(graph_of(text + loss))["loss"] == (True, (True, False))


def test_weights_under_one_name_are_warned_about():
    warnings = [str(warning) for warning in graph_of(INPUT + ip("", "x", "y") + ip("", "y", "z")).warnings]
    assert warnings == [
        'warning: layer "" (InnerProduct): has weights, and so has another layer called ""\n'
        "  help: give it a name of its own: weight files tell layers apart by their names"
    ]
    relu = 'layer { name: "a" type: "ReLU" bottom: "y" top: "y" }'
    assert not graph_of(INPUT + ip("a", "x", "y") + relu).warnings


def test_in_place_layers_make_new_values_of_one_blob():
    relu = 'layer { name: "r" type: "ReLU" bottom: "h" top: "h" }\n'
    graph = graph_of(INPUT + ip("a", "x", "h") + relu + ip("b", "h", "y"))
    a, relu_node, b = graph.nodes[1:]
    assert relu_node.reads == a.writes
    assert b.reads == relu_node.writes
    assert a.writes != relu_node.writes
    assert graph.blobs["h"] == relu_node.writes[0]


def faults(text, **options):
    with pytest.raises(GraphError) as caught:
        graph_of(text, **options)
    return [str(fault) for fault in caught.value.faults]


@pytest.mark.parametrize(
    "text, wanted",
    [
        (
            INPUT + ip("a", "X", "y"),
            ['layer "a" (InnerProduct): unknown bottom "X": no layer above makes it\n  help: did you mean x?'],
        ),
        (
            ip("a", "x", "y") + INPUT,
            [
                'layer "a" (InnerProduct): bottom "x" is read before layer "in" makes it\n'
                '  help: move this layer below "in"'
            ],
        ),
        (
            INPUT + ip("a", "x", "y") + ip("b", "x", "y"),
            [
                'layer "b" (InnerProduct): top "y" is already made by layer "a" (InnerProduct)\n'
                '  help: give this top another name, or make it in place with bottom: "y"'
            ],
        ),
        (
            INPUT + 'layer { name: "r" type: "ReLU" bottom: "x" top: "y" top: "z" }',
            ['layer "r" (ReLU): takes 1 top, got 2'],
        ),
        (
            INPUT + ip("a", "x", "y", more="param {} param {} param {}"),
            ['layer "a" (InnerProduct): has 3 param entries for 2 weights'],
        ),
        (
            INPUT + ip("a", "x", "y", more="propagate_down: true propagate_down: false"),
            ['layer "a" (InnerProduct): propagate_down stands 2 times for 1 bottoms'],
        ),
        (
            INPUT + ip("a", "x", "y") + ip("b", "y", "y", 5),
            [
                'layer "b" (InnerProduct): works in place on "y" and changes its size from (2, 4) to (2, 5)\n'
                "  help: give the top another name"
            ],
        ),
        (
            LABELS
            + 'layer { name: "l" type: "SoftmaxWithLoss" bottom: "x" bottom: "label" loss_weight: 1 loss_weight: 2 }',
            [
                'layer "l" (SoftmaxWithLoss): loss_weight stands 2 times for 1 tops\n'
                "  help: give loss_weight once per top, in their order, or leave it out"
            ],
        ),
        (
            INPUT + 'layer { name: "r" type: "ReLU" bottom: "x" top: "y" include { } exclude { } }',
            [
                'layer "r" (ReLU): has both include and exclude rules\n  help: keep the include rules '
                "(the layer is there when any of them holds), or the exclude rules"
            ],
        ),
        (
            INPUT
            + ip("a", "x", "p", 4, 'param { name: "w" }')
            + ip("b", "x", "q", 5, 'param { name: "w" } param { name: "v" lr_mult: 1 }'),
            ['layer "b" (InnerProduct): shares "w" with layer "a", which has shape (4, 3); here it is (5, 3)'],
        ),
        (
            INPUT
            + ip("a", "x", "p", 4, 'param { name: "w" lr_mult: 1 }')
            + ip("b", "x", "q", 4, 'param { name: "w" lr_mult: 2 }'),
            [
                'layer "b" (InnerProduct): lr_mult of shared "w" is 2 here, but 1 in layer "a"\n'
                "  help: give lr_mult in one of the layers only, or the same in all"
            ],
        ),
    ],
)
def test_a_net_that_does_not_fit_together_is_told_so(text, wanted):
    assert faults(text) == wanted


def test_arrays_that_no_machine_holds_are_refused_before_anybody_allocates_them():
    found = faults(INPUT + ip("a", "x", "y", 2147483647))
    assert found == [
        'layer "a" (InnerProduct): top "y" would have shape (2, 2147483647): '
        "more than the 2,147,483,647 values a blob can hold",
        'layer "a" (InnerProduct): weight 0 would have shape (2147483647, 3): '
        "more than the 2,147,483,647 values a blob can hold",
    ]


def test_every_fault_of_a_net_is_reported_at_once():
    text = INPUT + ip("a", "nope", "y") + ip("b", "x", "z", 0) + 'layer { name: "c" type: "Wat" bottom: "x" top: "w" }'
    assert len(faults(text)) == 3


def test_shapes_given_by_hand_stand_in_for_data_that_is_not_there():
    data = (
        'layer { name: "d" type: "Data" top: "x" data_param { source: "no_such_lmdb" batch_size: 2 backend: LMDB } }\n'
    )
    graph = graph_of(data + ip("a", "x", "y"), given={"x": (2, 3)}, missing_data=True)
    assert graph.shape("y") == (2, 4)
    assert "no_such_lmdb" in str(graph.warnings[0])
    unknown = graph_of(data + ip("a", "x", "y"), missing_data=True)
    assert unknown.shape("y") is None


def test_a_weight_that_gets_no_gradient_though_it_has_a_rate():
    """`param_propagate_down: false` of forks; what the weight is multiplied with still gets its gradient."""
    graph = graph_of(
        INPUT
        + ip("a", "x", "a")
        + ip("b", "a", "b", more="param { lr_mult: 1 param_propagate_down: false }")
        + 'layer { name: "l" type: "Reduction" bottom: "b" top: "l" loss_weight: 1 }'
    )
    assert [weight.wanted for weight in graph.weights] == [True, True, False, True]
    assert graph.nodes[2].bottom_needs == (True,)
