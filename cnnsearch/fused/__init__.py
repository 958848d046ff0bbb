"""Trials that differ in values only, trained together as one batched network."""

from cnnsearch.fused.train import Member, train_fused

__all__ = ["Member", "train_fused"]
