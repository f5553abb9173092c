"""From a GraphQL request to its result. The way goes through these modules in this order, and none is entered twice:

1. ``preparing`` makes a ``PreparedOperation`` of a ``GraphQLRequest`` (``outcomes``): the document is looked up
   (``documents``) or parsed (``parsing``), bounded (``limits``), measured (``meter``) and validated
   (``overlapping_fields``); of guests less is taken (``guests``).
2. ``executor`` coerces the variables and asks ``compiler`` for the operation as compiled code, which reads fields as
   ``bindings`` say and arguments as ``arguments`` does; any other operation is executed by ``ordinary``.
3. What comes of it is an ``Outcome``; what was refused is said by ``refusals`` and ``errors``.

``declarations`` refuses a schema that declares what is not executed here.
"""
