"""Kernels in C++ that take the place of slow torch operators on a CPU, compiled when first needed. No torch in here."""
