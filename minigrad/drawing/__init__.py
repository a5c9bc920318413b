"""`draw`: the graph of a computation as a picture.

    drawing = mg.draw(loss, names={"D": discriminator, "x": x})
    drawing.save("loss.svg")      # or .dot; in a notebook the drawing shows itself

Data flows downwards. A box is an applied op, with the first sentence of its docstring, which is its formula, and the shape and
dtype of its output; or a tensor that no op made. Gradients flow upwards along the dark lines. Grey lines carry constants.
Dashed lines are cuts: the value was used, but detached. Dotted lines lead to inputs without a derivative, as the mask in
the backward of `LeakyReLU`. Ops that a backward pass with `create_graph=True` made have their own colour.

Graphviz finds the places of up to 150 boxes if it is installed (`pip install 'minigrad[draw]'`, and its program `dot`);
otherwise `minigrad.drawing.layout.layered` does.
"""

from minigrad.drawing.drawing import Drawing, draw

__all__ = ["Drawing", "draw"]
