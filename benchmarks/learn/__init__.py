"""Parts of `benchmarks/learning.py`: small networks trained side by side on equal budgets."""
