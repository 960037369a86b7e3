"""Click, cart, buy, like and watch share of a simulated feed: sharings, weightings and chains beside the floors."""
