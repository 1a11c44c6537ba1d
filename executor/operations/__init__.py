"""What podwire does: plan, apply, take back, repair, collect."""
