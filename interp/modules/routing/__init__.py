"""Routing: a dense layer that computes with the chosen experts of each token alone.

A router says which experts a token needs; it is good where the experts it leaves out would have
contributed little. The oracle knows, the others see the layer's input; chance and random experts
stand beside every number, because an oracle loses little on any experts.

    from interp.modules.routing.run import measure_routing
    report = measure_routing(bridge, [partition], items)
    report.captured("blocks.3.mlp.hook_post", "own", "learnt", k=2)
    report.effect("own", "learnt", k=2)
"""
