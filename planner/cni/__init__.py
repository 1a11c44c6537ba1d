"""What a CNI plugin answered: parsed, corrected by what the namespace has."""
