"""Pictures of what a backbone computes, with the numbers behind them."""
